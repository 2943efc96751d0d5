"""The turns of one call on their way to its gateway: in their order, each until it has been accepted."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from callbot.runtime import tracing
from callbot.runtime.lease import Lease
from callbot.schemas.audio import FRAME_MS
from callbot.schemas.speech import SpeechVerdict, TurnEnded
from callbot.schemas.subjects import TURN_ENDED
from callbot.stt_worker.end_of_turn import Ended
from callbot.stt_worker.turn_trace import trace_hearing
from callbot.stt_worker.words import is_backchannel, wants_the_floor

REAL_SPEECH_MS: Final = 600
"""Less voice than this without words is noise: a cough lasts 300 to 500 ms."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decoded:
    text: str
    stt_ms: float
    error: str = ""
    doubted: bool = False
    """The recogniser hardly believes it."""
    at_ns: int = field(default_factory=time.time_ns, compare=False)

    def is_no_interruption(self, language: str) -> bool:
        return is_backchannel(self.text, language) or (
            self.doubted and not wants_the_floor(self.text, language)
        )


@dataclass(frozen=True, slots=True)
class Turn:
    ended: Ended
    decoding: asyncio.Task[Decoded]
    waited_for: str
    at_ns: int = field(default_factory=time.time_ns, compare=False)
    """When it was judged to be over."""


class TurnReports:
    def __init__(self, lease: Lease, *, from_ms: int, deadline_s: float, settled: Callable[[], None]) -> None:
        self._lease = lease
        self._deadline_s = deadline_s
        self._settled = settled
        self._turns: list[Turn] = []
        self._arrived = asyncio.Event()
        self.settled_ms = from_ms
        """Audio before it is needed by nobody."""

    @property
    def unsettled_from_ms(self) -> int | None:
        return self._turns[0].ended.from_ms if self._turns else None

    def add(self, turn: Turn) -> None:
        self._turns.append(turn)
        self._arrived.set()

    async def close(self) -> None:
        decodings = [turn.decoding for turn in self._turns]
        for decoding in decodings:
            decoding.cancel()
        await asyncio.gather(*decodings, return_exceptions=True)

    async def report_for_ever(self) -> None:
        """One at a time, so that turns arrive in their order."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._turns:
                turn = self._turns[0]
                await self._report(turn, await self._text_of(turn))
                if self._lease.over:
                    return
                self.settled_ms = turn.ended.ended_at_ms
                self._turns.pop(0)
                self._settled()

    async def _text_of(self, turn: Turn) -> Decoded:
        """Within the deadline from the last word on: until it is reported nobody else fills the silence."""
        silent_s = (turn.ended.ended_at_ms - turn.ended.speech_ended_at_ms) / 1000
        try:
            return await asyncio.wait_for(turn.decoding, max(0.0, self._deadline_s - silent_s))
        except TimeoutError:
            log.warning("the text came too late", extra={"call_id": self._lease.call_id})
            return Decoded("", self._deadline_s * 1000, "stt_timeout")

    async def _report(self, turn: Turn, decoded: Decoded) -> None:
        ended = turn.ended
        report = TurnEnded(
            epoch=self._lease.epoch,
            from_seq=ended.from_ms // FRAME_MS,
            to_seq=ended.ended_at_ms // FRAME_MS - 1,
            text=decoded.text,
            speech_ended_at_ms=ended.speech_ended_at_ms,
            ended_at_ms=ended.ended_at_ms,
            stt_ms=round(decoded.stt_ms, 1),
            verdict=_verdict(ended, decoded, self._lease.brief.language),
            waited_for=turn.waited_for,
            error=decoded.error,
        )
        facts = {"call_id": self._lease.call_id, "stt_ms": report.stt_ms, "error": report.error}
        log.info("turn ended", extra={**facts, "waited_for": turn.waited_for, "pii.text": report.text})
        with tracing.hearing_answers() as told:
            accepted = await self._lease.report(TURN_ENDED, report)
        trace_hearing(turn, decoded, told.place)
        if not accepted and not self._lease.over:
            log.error("a turn was lost", extra={"call_id": self._lease.call_id})


def _verdict(ended: Ended, decoded: Decoded, language: str) -> SpeechVerdict:
    if decoded.text:
        no_interruption = decoded.is_no_interruption(language)
        return SpeechVerdict.BACKCHANNEL if no_interruption else SpeechVerdict.SPEECH
    short = ended.voiced_ms < REAL_SPEECH_MS
    return SpeechVerdict.NOISE if short and not decoded.error else SpeechVerdict.SPEECH
