"""Nova on /v1/listen: results of stretches of audio, settled by Finalize.

https://developers.deepgram.com/docs/understand-endpointing-interim-results and /docs/finalize: `is_final`
freezes a stretch, and what was said is all frozen stretches one after another; `speech_final` only says that
a silence follows. An answer to Finalize is "not guaranteed if there is no significant amount of audio".
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from callbot.runtime.errors import ProviderError
from callbot.stt_worker.providers import deepgram_errors
from callbot.stt_worker.providers.deepgram_audio import CallClock
from callbot.stt_worker.providers.deepgram_connection import Connection
from callbot.stt_worker.providers.deepgram_words import Segment, Word, text_between

FINALIZE: Final = '{"type": "Finalize"}'
KEEP_ALIVE: Final = '{"type": "KeepAlive"}'
UNSETTLED_MS: Final = 60
"""What may be missing at the end of a stretch: its last 64 ms are silence."""
INSIGNIFICANT_MS: Final = 120
"""For so little Finalize may go unanswered…"""
UNANSWERED_S: Final = 0.5
"""…and is taken for answered after this."""
REMEMBERED_MS: Final = 90_000
FOREVER: Final = float("inf")


class _Word(BaseModel):
    word: str
    start: float
    end: float
    punctuated_word: str = ""


class _Alternative(BaseModel):
    transcript: str
    words: list[_Word] = []


class _Channel(BaseModel):
    alternatives: list[_Alternative]


class _Results(BaseModel):
    start: float
    duration: float
    is_final: bool = False
    channel: _Channel


class NovaTranscript:
    """What one connection has understood. Pure."""

    def __init__(self, clock: CallClock) -> None:
        self._clock = clock
        self._finals: list[Segment] = []
        self._interim: Segment | None = None
        self._covered_ms: int | None = None

    def hear(self, message: Mapping[str, Any]) -> None:
        """Raises ValueError for results that are none, and ProviderError for the vendor's own error."""
        if message.get("type") == "Error":
            raise deepgram_errors.of_message(str(message.get("code") or message.get("variant")))
        if message.get("type") != "Results":
            return
        results = _Results.model_validate(message)
        segment = self._segment(results)
        if not results.is_final:
            self._interim = segment
        elif self._covered_ms is None or segment.to_ms > self._covered_ms:
            # Anything else has been told before.
            self._finals.append(segment)
            self._covered_ms = segment.to_ms
            self._forget()

    def covers(self, to_ms: int, but_ms: int = UNSETTLED_MS) -> bool:
        """Is all settled until then, but for so much?"""
        return self._covered_ms is not None and self._covered_ms >= to_ms - but_ms

    def nothing_is_open(self, to_ms: int) -> bool:
        return self.covers(to_ms, INSIGNIFICANT_MS) and not self._open_text(self._covered_ms or 0, to_ms)

    def words(self, from_ms: int, to_ms: int) -> str:
        return text_between(self._finals, from_ms, to_ms)

    def so_far(self, from_ms: int) -> str:
        settled = text_between(self._finals, from_ms, FOREVER)
        return f"{settled} {self._open_text(from_ms, FOREVER)}".strip()

    def _open_text(self, from_ms: int, to_ms: float) -> str:
        if self._interim is None:
            return ""
        return text_between([self._interim], max(from_ms, self._covered_ms or 0), to_ms)

    def _segment(self, results: _Results) -> Segment:
        best = (
            results.channel.alternatives[0] if results.channel.alternatives else _Alternative(transcript="")
        )
        words = [
            Word(w.punctuated_word or w.word, self._clock.call_ms(w.start), self._clock.call_ms(w.end))
            for w in best.words
        ]
        from_ms = self._clock.call_ms(results.start)
        return Segment(from_ms, self._clock.call_ms(results.start + results.duration), best.transcript, words)

    def _forget(self) -> None:
        oldest_ms = (self._covered_ms or 0) - REMEMBERED_MS
        while self._finals[0].to_ms < oldest_ms:
            del self._finals[0]


class NovaStream:
    """A SpeechStream."""

    def __init__(
        self, connection: Connection, transcript: NovaTranscript, *, finalize_after_s: float
    ) -> None:
        self._connection = connection
        self._transcript = transcript
        self._finalize_after_s = finalize_after_s
        self._asked_to_ms = -1

    def hear(self, from_ms: int, audio: bytes) -> None:
        self._connection.send_audio(from_ms, audio)

    async def lost(self) -> ProviderError:
        return await self._connection.lost()

    async def words(self, from_ms: int, to_ms: int) -> str:
        await self._connection.push(to_ms)

        def settled() -> bool:
            return self._transcript.covers(to_ms)

        if self._asked_to_ms < to_ms:
            await self._connection.until(settled, self._finalize_after_s)
        if self._asked_to_ms < to_ms and not settled():
            self._asked_to_ms = to_ms
            await self._connection.say(FINALIZE)
        if not await self._connection.until(settled, UNANSWERED_S):
            await self._connection.until(lambda: settled() or self._transcript.nothing_is_open(to_ms))
        return self._transcript.words(from_ms, to_ms)

    def so_far(self, from_ms: int) -> str:
        return self._transcript.so_far(from_ms)

    def says_over(self, from_ms: int) -> bool | None:
        """Its endpointing knows of silence only, as we do."""
        return None
