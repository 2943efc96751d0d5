"""One call's connection to a vendor that listens along: opened ahead, opened again when it breaks."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from callbot.runtime.attempt import place_of
from callbot.runtime.breaker import blames_provider
from callbot.runtime.errors import ProviderError
from callbot.schemas.audio import BYTES_PER_MS
from callbot.stt_worker.recognition import Streaming
from callbot.stt_worker.recognizer import SpeechStream, WatchedStream

OPEN_WITHIN_S: Final = 2.0
CLOSE_WITHIN_S: Final = 1.0
PAUSE_S: Final = 0.2
"""Between one that could not be opened and the next."""
ASK_AGAIN_S: Final = 1.0
"""How often breakers are asked while none admits."""
PUT_OFF_S: Final = 2.0
"""Who cannot do this call (its language, its hints) is not asked for so long; then for twice as long."""
LONGEST_PUT_OFF_S: Final = 60.0
log = logging.getLogger(__name__)

Backlog = Callable[[], tuple[int, bytes]]
"""What a new connection is given first: where it begins in the call, and all that was heard since."""
Heard = Callable[[str, int], None]
"""So many milliseconds were given to this provider."""


@dataclass(frozen=True, slots=True, eq=False)
class Open:
    """A connection that is there."""

    link: Streaming
    stream: SpeechStream
    from_ms: int
    """What came before, it has not heard."""


class KeptStream:
    """To the first of these links that can be had."""

    def __init__(
        self, links: Sequence[Streaming], language: str, hints: Sequence[str], backlog: Backlog, heard: Heard
    ) -> None:
        self._links = links
        self._language = language
        self._hints = hints
        self._backlog = backlog
        self._heard = heard
        self._anew = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.open: Open | None = None
        self.errors: dict[str, str] = {}
        """By provider: the code of what went wrong when it was to be opened last."""
        self._put_off: dict[str, tuple[float, float]] = {}
        """By provider: until when it is not asked, and how long that was."""

    def begin(self) -> None:
        if self._links and self._task is None:
            self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def hear(self, from_ms: int, audio: bytes) -> None:
        if (opened := self.open) is not None:
            try:
                opened.stream.hear(from_ms, audio)
            except Exception as e:
                # A provider is not ours to trust, and the next frame comes in 20 ms.
                crash = _crashed(opened.link, e)
                opened.link.guard.broken_off(crash)
                self.errors[opened.link.name] = crash.code
                self.give_up(opened)
                return
            self._heard(opened.link.name, len(audio) // BYTES_PER_MS)

    def give_up(self, broken: Open) -> None:
        """It has failed, or has missed its deadline: another connection is opened."""
        if self.open is broken:
            self.open = None
            self._anew.set()

    def begin_anew(self) -> None:
        """The call's audio has a hole that nobody can fill."""
        if self.open is not None:
            self.give_up(self.open)

    async def _keep(self) -> None:
        while True:
            link = await self._admitted()
            async with AsyncExitStack() as held:
                stream = await opened(held, link, self._language, self._hints)
                if isinstance(stream, ProviderError):
                    self.missed(link, stream)
                    await asyncio.sleep(PAUSE_S)
                    continue
                self._anew.clear()
                self._take(link, stream)
                try:
                    lost = await self._until_another_is_needed(link, stream)
                finally:
                    self.open = None
                    await _closed(held, link)
            if lost is not None:
                link.guard.broken_off(lost)
                self.missed(link, lost)
                await asyncio.sleep(PAUSE_S)

    def missed(self, link: Streaming, error: ProviderError) -> float:
        """For how many seconds it is not asked for this call: breakers do not count what a call asks for."""
        self.errors[link.name] = error.code
        if blames_provider(error):
            return 0.0
        _, last_s = self._put_off.get(link.name, (0.0, PUT_OFF_S / 2))
        pause_s = min(2 * last_s, LONGEST_PUT_OFF_S)
        self._put_off[link.name] = (time.monotonic() + pause_s, pause_s)
        return pause_s

    async def _until_another_is_needed(self, link: Streaming, stream: SpeechStream) -> ProviderError | None:
        """The error of one that broke without being asked for anything."""
        anew = asyncio.create_task(self._anew.wait())
        lost = asyncio.create_task(_lost(link, stream)) if isinstance(stream, WatchedStream) else None
        try:
            await asyncio.wait({anew, lost} if lost else {anew}, return_when=asyncio.FIRST_COMPLETED)
            return lost.result() if lost and lost.done() and not anew.done() else None
        finally:
            anew.cancel()
            if lost is not None:
                lost.cancel()

    def _take(self, link: Streaming, stream: SpeechStream) -> None:
        from_ms, audio = self._backlog()
        self.open = Open(link, stream, from_ms)
        if audio:
            self.hear(from_ms, audio)

    async def _admitted(self) -> Streaming:
        while True:
            for link in self._links:
                put_off_until_s, _ = self._put_off.get(link.name, (0.0, 0.0))
                if time.monotonic() >= put_off_until_s and await link.guard.admits():
                    return link
            await asyncio.sleep(ASK_AGAIN_S)


async def opened(
    held: AsyncExitStack, link: Streaming, language: str, hints: Sequence[str]
) -> SpeechStream | ProviderError:
    """A connection that `held` will close; its guard has admitted it. The error is told to guard and log."""
    begun_s = time.monotonic()
    try:
        async with asyncio.timeout(OPEN_WITHIN_S):
            stream = await held.enter_async_context(link.provider.stream(language, hints))
    except TimeoutError:
        error = ProviderError("too_slow", f"not open in {OPEN_WITHIN_S} s", retryable=True)
    except ProviderError as e:
        error = e
    except asyncio.CancelledError:
        link.guard.abandoned()
        raise
    except Exception as e:
        # Without its text: a client's error may carry the headers of the request.
        log.error("a provider crashed", extra={"provider": link.name, "reason": type(e).__name__})
        error = ProviderError("crashed", "on opening", retryable=True)
    else:
        # Being connected says nothing about words: whoever hears some tells the guard.
        link.guard.abandoned()
        log.debug("stream opened", extra={"provider": link.name, "ms": _ms_since(begun_s)})
        return stream
    link.guard.failed(error)
    log.warning("a stream could not be opened", extra={"provider": link.name, "reason": error.code})
    return error


async def _lost(link: Streaming, stream: WatchedStream) -> ProviderError:
    try:
        return await stream.lost()
    except Exception as e:
        return _crashed(link, e)


def _crashed(link: Streaming, error: Exception) -> ProviderError:
    """What it says is not told on: it may have a key or a caller's words in it."""
    facts = {"provider": link.name, "error": type(error).__name__, "at": place_of(error)}
    log.error("a provider's code has failed", extra=facts)
    return ProviderError("crashed", type(error).__name__, retryable=True)


async def _closed(held: AsyncExitStack, link: Streaming) -> None:
    try:
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await held.aclose()
    except TimeoutError:
        log.warning("a stream does not close", extra={"provider": link.name})
    except Exception as e:
        log.debug("a stream did not close cleanly", extra={"provider": link.name, "reason": type(e).__name__})


def _ms_since(begun_s: float) -> float:
    return round((time.monotonic() - begun_s) * 1000, 1)
