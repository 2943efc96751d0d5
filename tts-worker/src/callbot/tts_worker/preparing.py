"""The sentence that a call's mouth has ready before it is asked for: synthesised into memory."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from callbot.runtime.errors import CallbotError
from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

KEPT_S: Final = 10.0
MAX_BYTES: Final = 30 * SAMPLE_RATE_HZ
log = logging.getLogger(__name__)

Speak = Callable[[str, Urgency], AsyncGenerator[bytes, None]]
"""How this call's voice speaks a text."""


class Prepared:
    """One sentence, from its preparation until it has been said or thrown away."""

    def __init__(self, number: int, text: str, speak: Speak) -> None:
        """Its synthesis begins now, and gives way to every sentence that is being said."""
        self.number = number
        self.text = text
        self._urgency = Urgency(waited_for=False)
        self._chunks: list[bytes] = []
        self._over = False
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self._claimed = asyncio.Event()
        self.began_ns = time.time_ns()
        self.audible_ns: int | None = None
        """When there was the first audio of it."""
        self.synthesis = asyncio.create_task(self._synthesise(speak))

    @property
    def begun(self) -> bool:
        """Is there any audio of it?"""
        return bool(self._chunks)

    @property
    def failed(self) -> bool:
        return self._error is not None

    def claim(self) -> None:
        """It is asked for: from now on it gives way no more."""
        self._urgency.rise()
        self._claimed.set()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """8,000 bytes of mu-law a second: what exists at once, the rest as it comes. Raises as `speak`."""
        at = 0
        while True:
            while at < len(self._chunks):
                yield self._chunks[at]
                at += 1
            if self._error is not None:
                raise self._error
            if self._over:
                return
            self._news.clear()
            await self._news.wait()

    def drop(self) -> None:
        """Stops what is left of the synthesis."""
        self.synthesis.cancel()

    async def _synthesise(self, speak: Speak) -> None:
        size = 0
        try:
            async with aclosing(speak(self.text, self._urgency)) as chunks:
                async for chunk in chunks:
                    self.audible_ns = self.audible_ns or time.time_ns()
                    self._chunks.append(chunk)
                    self._news.set()
                    size += len(chunk)
                    if size >= MAX_BYTES:
                        await self._claimed.wait()
            self._over = True
        except Exception as e:
            # A provider is not ours to trust; whoever asks for the sentence has it synthesised anew.
            self._error = e
        self._news.set()


class Preparing:
    """What one call's mouth has ready, one sentence at most, and how often that was of use."""

    def __init__(self, speak: Speak, *, kept_s: float = KEPT_S) -> None:
        self._speak = speak
        self._kept_s = kept_s
        self._ready: Prepared | None = None
        self._forgetting: asyncio.TimerHandle | None = None
        self._too_late_to = -1
        self._running: set[asyncio.Task[None]] = set()
        self.prepared = self.used = self.thrown_away = 0

    def prepare(self, number: int, text: str) -> None:
        """Of turn `number`. A newer sentence takes the place of an older one, which stops."""
        ready = self._ready
        if number <= self._too_late_to or not text or (ready and ready.number > number):
            return
        if ready and (ready.number, ready.text, ready.failed) == (number, text, False):
            return
        self._throw_away()
        self.prepared += 1
        self._ready = Prepared(number, text, self._speak)
        self._running.add(self._ready.synthesis)
        self._ready.synthesis.add_done_callback(self._running.discard)
        self._forgetting = asyncio.get_running_loop().call_later(self._kept_s, self._throw_away)

    def claim(self, number: int, text: str) -> Prepared | None:
        """What is ready for this sentence, which is to be said now; what is ready in vain is thrown away.

        None also where its synthesis has failed. The claimed one is the caller's to `drop`.
        """
        self._too_late_to = max(self._too_late_to, number)
        ready = self._ready
        if ready is None or ready.number > number:
            return None
        if ready.text != text or ready.failed:
            self._throw_away()
            return None
        self._take()
        self.used += 1
        ready.claim()
        return ready

    def cancel_up_to(self, number: int) -> None:
        """These turns are over."""
        self._too_late_to = max(self._too_late_to, number)
        if self._ready is not None and self._ready.number <= number:
            self._throw_away()

    async def close(self) -> None:
        """Stops what was claimed, too."""
        self._throw_away()
        for synthesis in self._running:
            synthesis.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _take(self) -> Prepared | None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        ready, self._ready, self._forgetting = self._ready, None, None
        return ready

    def _throw_away(self) -> None:
        ready = self._take()
        if ready is not None:
            self.thrown_away += 1
            ready.drop()


async def chunks_of(text: str, prepared: Prepared | None, speak: Speak) -> AsyncGenerator[bytes, None]:
    """A sentence's audio, from what was prepared if that can be had. Raises as `speak`.

    A preparation that fails before any of it was heard is no failure. After that it is one: two attempts are
    never spliced.
    """
    begun = False
    if prepared is not None:
        try:
            async with aclosing(prepared.chunks()) as chunks:
                async for chunk in chunks:
                    begun = True
                    yield chunk
            return
        except Exception as e:
            if begun:
                raise
            reason = str(e) if isinstance(e, CallbotError) else type(e).__name__
            log.info("a prepared sentence is synthesised anew", extra={"reason": reason})
    async with aclosing(speak(text, WAITED_FOR)) as chunks:
        async for chunk in chunks:
            yield chunk
