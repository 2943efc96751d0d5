"""Flux on /v2/listen: whole turns, and Flux's own opinion of when they are over.

https://developers.deepgram.com/docs/flux/state: a turn begins with StartOfTurn, may be over (EagerEndOfTurn),
go on (TurnResumed), and is over (EndOfTurn) with the text of the last EagerEndOfTurn. ForceEndTurn ends a
turn with what is transcribed so far, and is ignored where there is none.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from callbot.runtime.errors import ProviderError
from callbot.stt_worker.providers import deepgram_errors
from callbot.stt_worker.providers.deepgram_audio import CallClock
from callbot.stt_worker.providers.deepgram_connection import Connection
from callbot.stt_worker.providers.deepgram_words import Segment, Word, text_between

FORCE_END_TURN: Final = '{"type": "ForceEndTurn"}'
COVERED_BUT_MS: Final = 100
"""Flux works on pieces of 80 ms; the last 64 ms before words are wanted are silence."""
LATE_WORDS_S: Final = 0.3
"""A forced turn ends with what is transcribed; what was not is waited for so long. It tells every 250 ms."""
REMEMBERED_MS: Final = 90_000
FOREVER: Final = float("inf")
log = logging.getLogger(__name__)


class _Word(BaseModel):
    word: str
    start: float | None = None
    end: float | None = None


class _TurnInfo(BaseModel):
    sequence_id: int
    event: str
    turn_index: int
    audio_window_start: float
    audio_window_end: float
    transcript: str
    words: list[_Word] = []
    trigger: str | None = None


@dataclass(slots=True)
class _Turn:
    segment: Segment
    goes_on: bool
    """False: the text is settled, unless the turn is resumed."""
    says_over: bool | None
    ended: bool = False


class FluxTurns:
    """What one connection has understood, turn by turn. Pure."""

    def __init__(self, clock: CallClock) -> None:
        self._clock = clock
        self._turns: dict[int, _Turn] = {}
        self._covered_ms: int | None = None
        self._next_id = 0
        self._missing = False
        self.connected = False

    def hear(self, message: Mapping[str, Any]) -> None:
        """Raises ValueError for a turn that is none, and ProviderError for the vendor's own error."""
        kind = message.get("type")
        if kind == "Error":
            raise deepgram_errors.of_message(str(message.get("code", "")))
        if not self._is_next(message.get("sequence_id")):
            return
        if kind == "Connected":
            self.connected = True
        elif kind == "TurnInfo":
            self._hear_turn(_TurnInfo.model_validate(message))

    @property
    def going_on(self) -> int | None:
        """The turn whose text is not settled."""
        return next((index for index, turn in self._turns.items() if turn.goes_on), None)

    def covers(self, to_ms: int) -> bool:
        return self._covered_ms is not None and self._covered_ms >= to_ms - COVERED_BUT_MS

    def words(self, from_ms: int, to_ms: float = FOREVER) -> str:
        return text_between([turn.segment for turn in self._turns.values()], from_ms, to_ms)

    def says_over(self, from_ms: int) -> bool | None:
        for turn in reversed(self._turns.values()):
            if text_between([turn.segment], from_ms, FOREVER):
                return turn.says_over
        return None

    def _is_next(self, sequence_id: object) -> bool:
        """False: it has been here before. One that is missing matters only if a turn's end was in it."""
        if not isinstance(sequence_id, int):
            raise ValueError("a message without its number")
        if sequence_id < self._next_id:
            return False
        if sequence_id > self._next_id:
            self._missing = True
            log.warning("messages of Deepgram are missing", extra={"count": sequence_id - self._next_id})
        self._next_id = sequence_id + 1
        return True

    def _hear_turn(self, info: _TurnInfo) -> None:
        before = self._turns.get(info.turn_index)
        if before is None:
            self._begin_turn(info.turn_index)
        elif before.ended:
            return
        segment = self._segment(info)
        turn = self._turns[info.turn_index] = _Turn(
            segment, bool(segment.text), False if segment.text else None
        )
        match info.event:
            case "StartOfTurn" | "TurnResumed":
                turn.goes_on, turn.says_over = True, False
            case "EagerEndOfTurn":
                turn.goes_on, turn.says_over = False, True
            case "EndOfTurn":
                # What we have ended is not Flux's opinion.
                turn.goes_on, turn.ended = False, True
                turn.says_over = None if info.trigger == "manual" else True
            case _ if before is not None and before.segment.text == segment.text:
                turn.goes_on, turn.says_over = before.goes_on, before.says_over
        self._covered_ms = max(self._covered_ms or 0, self._clock.call_ms(info.audio_window_end))
        self._forget()

    def _begin_turn(self, index: int) -> None:
        last = max(self._turns, default=None)
        if last is not None and self._missing and (not self._turns[last].ended or index > last + 1):
            raise ProviderError("broken_off", "the end of a turn is missing", retryable=True)
        self._missing = False
        for turn in self._turns.values():
            turn.goes_on, turn.ended = False, True

    def _segment(self, info: _TurnInfo) -> Segment:
        timed = [
            Word(w.word, self._clock.call_ms(w.start), self._clock.call_ms(w.end))
            for w in info.words
            if w.start is not None and w.end is not None
        ]
        words = timed if len(timed) == len(info.words) else []
        from_ms = self._clock.call_ms(info.audio_window_start)
        return Segment(from_ms, self._clock.call_ms(info.audio_window_end), info.transcript, words)

    def _forget(self) -> None:
        oldest_ms = (self._covered_ms or 0) - REMEMBERED_MS
        for index in [i for i, t in self._turns.items() if t.ended and t.segment.to_ms < oldest_ms][:-1]:
            del self._turns[index]


class FluxStream:
    """A SpeechStream."""

    def __init__(self, connection: Connection, turns: FluxTurns, *, patience_s: float) -> None:
        self._connection = connection
        self._turns = turns
        self._patience_s = patience_s
        self._patient_to_ms = -1
        self._forced: int | None = None
        """The last turn that we have ended, or asked to be."""

    def hear(self, from_ms: int, audio: bytes) -> None:
        self._connection.send_audio(from_ms, audio)

    async def lost(self) -> ProviderError:
        return await self._connection.lost()

    async def words(self, from_ms: int, to_ms: int) -> str:
        """Flux is left to decide for a moment: a turn that is forced to its end is torn from what follows."""
        await self._connection.push(to_ms)

        def settled() -> bool:
            return self._turns.covers(to_ms) and self._turns.going_on is None

        def to_be_settled() -> bool:
            return settled() or self._turns.going_on is not None

        if self._patient_to_ms < to_ms and not await self._connection.until(settled, self._patience_s):
            self._patient_to_ms = to_ms
        late_words_s = None
        while not settled():
            if self._turns.going_on is not None:
                await self._force(self._turns.going_on)
                late_words_s = LATE_WORDS_S
            if not await self._connection.until(to_be_settled, late_words_s):
                break
        return self._turns.words(from_ms, to_ms)

    async def _force(self, turn: int) -> None:
        if self._forced != turn:
            self._forced = turn
            await self._connection.say(FORCE_END_TURN)
        await self._connection.until(lambda: self._turns.going_on != turn)

    def so_far(self, from_ms: int) -> str:
        return self._turns.words(from_ms)

    def says_over(self, from_ms: int) -> bool | None:
        return self._turns.says_over(from_ms)
