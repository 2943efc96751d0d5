"""One call's recogniser: streaming and batch providers behind one seam, whoever of them works."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from callbot.runtime.chain import Attempt, Link, asked
from callbot.runtime.errors import ProviderError
from callbot.schemas.audio import BYTES_PER_MS
from callbot.schemas.usage import Used
from callbot.stt_worker.kept_stream import KeptStream, Open
from callbot.stt_worker.recognition import Recognition
from callbot.stt_worker.recognizer import (
    Doubted,
    Recognizer,
    StreamingRecognizer,
    Utterance,
    WarmedRecognizer,
)
from callbot.stt_worker.turn_reports import Decoded

CATCH_UP_MS: Final = 1000
"""A new connection may begin so far behind; where a batch provider can take over, no further."""
LAST_LONGER_S: Final = 10.0
"""Behind the last one there is only the turn's own deadline, which begins when the turn has ended."""
log = logging.getLogger(__name__)

P = TypeVar("P")
Way = Callable[[Utterance], Awaitable[str]]
FellBack = Callable[[str, str, str], None]
"""Provider, the code of its error, who has done it instead (empty: nobody)."""


class CallRecognition:
    """What hears one call. Every position is of the call's stream."""

    def __init__(
        self,
        recognition: Recognition,
        language: str,
        hints: Sequence[str],
        *,
        needed_from_ms: Callable[[], int],
        between: Callable[[int, int], bytes],
        fell_back: FellBack,
    ) -> None:
        """`needed_from_ms`: where what the caller is saying began. `between`: audio that was heard."""
        self._recognition = recognition
        self._language = language
        self._hints = tuple(hints)
        self._needed_from_ms = needed_from_ms
        self._between = between
        self._fell_back = fell_back
        self._heard_to_ms = 0
        self._warming: asyncio.Task[None] | None = None
        self._kept = KeptStream(recognition.leading, language, self._hints, self._backlog, self._count)
        self._in_use = recognition.names[0]
        self.heard_ms: Counter[str] = Counter()
        """What each provider has been given, in milliseconds of audio; what is decoded twice counts twice."""

    def open(self) -> None:
        """Connections are opened while the caller hears the greeting."""
        self._kept.begin()
        self._warming = asyncio.create_task(self._warm())

    async def close(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        await self._kept.close()

    def used(self) -> list[Used]:
        def of(name: str, ms: int) -> Used:
            model = self._recognition.model_of(name, self._language)
            return Used(role="stt", provider=name, model=model, seconds=ms / 1000)

        return [of(name, ms) for name, ms in sorted(self.heard_ms.items()) if ms]

    def hear(self, from_ms: int, audio: bytes) -> None:
        self._heard_to_ms = from_ms + len(audio) // BYTES_PER_MS
        self._kept.hear(from_ms, audio)

    def begin_anew(self) -> None:
        """What was heard so far does not go on."""
        self._kept.begin_anew()

    @property
    def free_decoders(self) -> int:
        """Of who makes interim transcripts."""
        batch = self._recognition.for_interims
        return 0 if batch is None else batch.provider.free_decoders

    def so_far(self, from_ms: int) -> str | None:
        """What was said since then, for nothing. None: nobody listens along."""
        opened = self._kept.open
        return opened.stream.so_far(from_ms) if opened is not None and from_ms >= opened.from_ms else None

    def says_over(self, from_ms: int) -> bool | None:
        """The provider's own opinion, if it has one: is the turn that began there over?"""
        opened = self._kept.open
        return opened.stream.says_over(from_ms) if opened is not None and from_ms >= opened.from_ms else None

    async def interim(self, utterance: Utterance) -> tuple[str, bool]:
        """Of speech that goes on, where nobody listens along, and whether it is doubted. Empty: none."""
        batch = self._recognition.for_interims
        if batch is None:
            return "", False
        try:
            text = await self._decoded(batch, utterance)
            return str(text), isinstance(text, Doubted)
        except ProviderError as e:
            reason = e.code
        except Exception as e:
            reason = type(e).__name__
        log.debug("no interim transcript", extra={"provider": batch.name, "reason": reason})
        return "", False

    async def final(self, utterance: Utterance) -> Decoded:
        """By the first who can; every error is in what is returned."""
        begun_s = time.perf_counter()
        text = error = ""
        try:
            text = await self._transcribed(utterance)
        except ProviderError as e:
            error = e.code
        doubted = isinstance(text, Doubted)
        return Decoded(str(text), (time.perf_counter() - begun_s) * 1000, error, doubted)

    async def _transcribed(self, utterance: Utterance) -> str:
        """Raises ProviderError."""
        attempts: list[Attempt] = []
        along = self._kept.open
        if along is not None and utterance.from_ms < along.from_ms:
            along = None

        def told(attempt: Attempt) -> None:
            attempts.append(attempt)
            if along is not None and attempt.outcome == "failed" and attempt.provider == along.link.name:
                self._kept.give_up(along)

        async def ask(link: Link[Way]) -> str:
            return await link.provider(utterance)

        ways = self._ways(along)
        try:
            text = await asked(ways, ask, hedge=self._can_hedge(ways), told=told)
        except ProviderError:
            self._report(attempts)
            raise
        self._report(attempts)
        return text

    def _ways(self, along: Open | None) -> list[Link[Way]]:
        """Who has listened along, who decodes what was said, who has to be told it anew: in this order."""
        whole = self._recognition
        ways: list[Link[Way]] = []
        if along is not None:
            # To be told all anew takes longer than to wait a little for who knows it.
            patient_s = 0 if whole.batch else whole.deadline_s / 2
            deadline_s = max(along.link.deadline_s, patient_s)
            ways.append(_way(along.link, partial(_heard_along, along), deadline_s))
        ways += [_way(link, partial(self._decoded, link)) for link in whole.batch]
        if along is None or not whole.batch:
            anew = whole.streaming
        else:
            anew = tuple(link for link in whole.streaming if link.name != along.link.name)
        ways += [_way(link, partial(self._told_anew, link), whole.deadline_s) for link in anew]
        ways[-1] = replace(ways[-1], deadline_s=whole.deadline_s + LAST_LONGER_S)
        return ways

    def _can_hedge(self, ways: Sequence[Link[Way]]) -> bool:
        """May the second be begun beside a slow first one? It decodes here, and has a decoder free."""
        second = ways[1].name if len(ways) > 1 else ""
        return any(
            link.name == second and link.provider.free_decoders > 0 for link in self._recognition.batch
        )

    async def _decoded(self, link: Link[Recognizer], utterance: Utterance) -> str:
        ms = utterance.to_ms - utterance.from_ms
        self._count(link.name, ms)
        try:
            return await link.provider.transcribe(utterance)
        except ProviderError:
            # What a vendor refuses it does not bill; what nobody waits for any more, it does.
            self._count(link.name, -ms)
            raise

    async def _told_anew(self, link: Link[StreamingRecognizer], utterance: Utterance) -> str:
        async with link.provider.stream(self._language, self._hints) as stream:
            self._count(link.name, utterance.to_ms - utterance.from_ms)
            stream.hear(utterance.from_ms, utterance.audio)
            return await stream.words(utterance.from_ms, utterance.to_ms)

    def _report(self, attempts: Sequence[Attempt]) -> None:
        """Tells what the record should know: who has failed in this call, and who has done it instead."""
        answered = next((a.provider for a in attempts if a.outcome == "answered"), "")
        failed = [a for a in attempts if a.outcome == "failed"]
        for attempt in failed:
            self._fell_back(attempt.provider, attempt.error_code, answered)
        if not answered:
            return
        rank = self._recognition.rank
        if not failed and rank(answered) > rank(self._in_use):
            outrun = any(a.outcome == "outrun" for a in attempts)
            reason = "too_slow" if outrun else self._kept.errors.get(self._in_use, "not_open")
            self._fell_back(self._in_use, reason, answered)
        self._in_use = answered

    def _backlog(self) -> tuple[int, bytes]:
        """What the caller is saying, or, where others can decode that, only what is new."""
        from_ms = self._needed_from_ms()
        if self._recognition.batch and self._heard_to_ms - from_ms > CATCH_UP_MS:
            from_ms = self._heard_to_ms
        return from_ms, self._between(from_ms, self._heard_to_ms)

    def _count(self, provider: str, ms: int) -> None:
        self.heard_ms[provider] += ms

    async def _warm(self) -> None:
        for link in self._recognition.batch:
            if isinstance(link.provider, WarmedRecognizer):
                await link.provider.warm()


async def _heard_along(along: Open, utterance: Utterance) -> str:
    return await along.stream.words(utterance.from_ms, utterance.to_ms)


def _way(link: Link[P], way: Way, deadline_s: float | None = None) -> Link[Way]:
    return Link(link.name, way, link.guard, deadline_s=deadline_s or link.deadline_s)
