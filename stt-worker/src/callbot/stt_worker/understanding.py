"""What one caller is saying, while it is being said: words, verdicts, and how long to wait for more."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from callbot.runtime.errors import ProviderError
from callbot.runtime.lease import Lease
from callbot.schemas.audio import FRAME_MS
from callbot.schemas.message import Message
from callbot.schemas.speech import (
    InterimTranscript,
    SpeechConfirmed,
    SpeechJudged,
    SpeechVerdict,
    TurnEager,
    TurnResumed,
)
from callbot.schemas.subjects import (
    SPEECH_CONFIRMED,
    SPEECH_JUDGED,
    TRANSCRIPT_INTERIM,
    TURN_EAGER,
    TURN_RESUMED,
    Subject,
)
from callbot.stt_worker.audio_ring import AudioRing
from callbot.stt_worker.end_of_turn import Began, Ended, EndOfTurn, Happening, Resumed, WentQuiet
from callbot.stt_worker.interims import EVERY_MS, FIRST_AFTER_MS, InterimBudget
from callbot.stt_worker.patience import silence_wanted_ms
from callbot.stt_worker.prosody import Prosody
from callbot.stt_worker.recognizer import Recognizer, Utterance
from callbot.stt_worker.turn_reports import Decoded, Turn, TurnReports
from callbot.stt_worker.words import Completeness, completeness, is_backchannel

WORDS_OF_SPEECH: Final = 2
"""In an interim transcript; one word may be made up from half a cough."""
WORTH_THINKING_ABOUT: Final = (Completeness.DONE, Completeness.UNSURE)
log = logging.getLogger(__name__)

Tell = Callable[[Subject[Any], Message], None]


class Understanding:
    """Follows the course of one call's voice; what it finds out is told, or goes to the reports."""

    def __init__(
        self,
        lease: Lease,
        recognizer: Recognizer,
        prosody: Prosody,
        budget: InterimBudget,
        reports: TurnReports,
        tell: Tell,
    ) -> None:
        self._lease = lease
        self._recognizer = recognizer
        self._prosody = prosody
        self._budget = budget
        self._reports = reports
        self._tell = tell
        self._from_ms = 0
        self._verdict: SpeechVerdict | None = None
        self._eager = False
        self._waited_for = ""
        self._next_interim_ms = 0
        self._decoding: asyncio.Task[Decoded] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def follow(self, happening: Happening, course: EndOfTurn, audio: AudioRing) -> None:
        match happening:
            case Began(from_ms, voiced_from_ms):
                self._begin(from_ms, voiced_from_ms)
            case WentQuiet():
                self._went_quiet(happening, course, audio)
            case Resumed():
                self._resumed()
            case Ended():
                self._ended(happening, audio)

    def listen_in(self, now_ms: int, course: EndOfTurn, audio: AudioRing) -> None:
        """Maybe a transcript of what has been said so far."""
        if course.is_speaking and now_ms >= self._next_interim_ms and self._budget.allows_one:
            self._next_interim_ms = now_ms + EVERY_MS
            self._spawn(self._interim(self._from_ms, audio.between(self._from_ms, now_ms)))

    def drop(self) -> None:
        """What is being worked out is of no use any more."""
        self._decoding = None
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        self.drop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, from_ms: int, voiced_from_ms: int) -> None:
        self._from_ms = from_ms
        self._verdict = None
        self._eager = False
        self._waited_for = "silence"
        self._next_interim_ms = voiced_from_ms + FIRST_AFTER_MS
        self._confirm(voiced_from_ms)

    def _confirm(self, at_ms: int) -> None:
        confirmed = SpeechConfirmed(epoch=self._lease.epoch, from_seq=self._from_ms // FRAME_MS, at_ms=at_ms)
        self._tell(SPEECH_CONFIRMED, confirmed)

    def _went_quiet(self, quiet: WentQuiet, course: EndOfTurn, audio: AudioRing) -> None:
        heard = audio.between(quiet.from_ms, quiet.to_ms)
        decoding = self._decoding = self._spawn(self._decoded(heard))
        self._spawn(self._weigh(quiet, decoding, heard, course, audio))

    def _resumed(self) -> None:
        self.drop()
        if self._eager:
            self._eager = False
            self._tell(TURN_RESUMED, TurnResumed(epoch=self._lease.epoch, from_seq=self._from_ms // FRAME_MS))
        if self._verdict not in (None, SpeechVerdict.SPEECH):
            # The bot may be speaking again since the verdict.
            self._verdict = None
            self._confirm(self._from_ms)

    def _ended(self, ended: Ended, audio: AudioRing) -> None:
        decoding, self._decoding = self._decoding, None
        if decoding is None:
            decoding = self._spawn(self._decoded(audio.between(ended.from_ms, ended.ended_at_ms)))
        self._tasks.discard(decoding)
        self._reports.add(Turn(ended, decoding, self._waited_for))

    async def _weigh(
        self,
        quiet: WentQuiet,
        decoding: asyncio.Task[Decoded],
        heard: bytes,
        course: EndOfTurn,
        audio: AudioRing,
    ) -> None:
        """The words and the sound of a silence: is it the end, and how long to wait until it is."""
        sounding = self._spawn(self._prosody.finished(heard))
        decoded = await asyncio.shield(decoding)
        self._judge(decoded, quiet.speech_ended_at_ms)
        words = completeness(decoded.text, self._lease.brief.language)
        if decoded.text and words in WORTH_THINKING_ABOUT and not is_backchannel(decoded.text):
            self._foresee(quiet, decoded)
        bounds = self._lease.brief.turn
        finished = await sounding if decoded.text else None
        wanted_ms, self._waited_for = silence_wanted_ms(words, finished, bounds)
        facts = {"call_id": self._lease.call_id, "words": words.name, "finished": finished}
        log.debug("silence weighed", extra={**facts, "wanted_ms": wanted_ms, "pii.text": decoded.text})
        if (ended := course.wait_until(wanted_ms)) is not None:
            self._ended(ended, audio)

    def _foresee(self, quiet: WentQuiet, decoded: Decoded) -> None:
        self._eager = True
        eager = TurnEager(
            epoch=self._lease.epoch,
            from_seq=quiet.from_ms // FRAME_MS,
            text=decoded.text,
            speech_ended_at_ms=quiet.speech_ended_at_ms,
            stt_ms=round(decoded.stt_ms, 1),
        )
        self._tell(TURN_EAGER, eager)

    def _judge(self, decoded: Decoded, sound_ended_at_ms: int) -> None:
        if decoded.error:
            return
        if not decoded.text:
            verdict = SpeechVerdict.NOISE
        elif is_backchannel(decoded.text):
            verdict = SpeechVerdict.BACKCHANNEL
        else:
            verdict = SpeechVerdict.SPEECH
        self._judged(verdict, sound_ended_at_ms)

    def _judged(self, verdict: SpeechVerdict, sound_ended_at_ms: int | None) -> None:
        if self._verdict in (verdict, SpeechVerdict.SPEECH):
            return
        self._verdict = verdict
        judged = SpeechJudged(
            epoch=self._lease.epoch,
            from_seq=self._from_ms // FRAME_MS,
            verdict=verdict,
            sound_ended_at_ms=sound_ended_at_ms,
        )
        self._tell(SPEECH_JUDGED, judged)

    async def _interim(self, from_ms: int, heard: bytes) -> None:
        with self._budget.interim():
            text = (await self._transcribed(heard)).text
        if not text or from_ms != self._from_ms:
            return
        interim = InterimTranscript(epoch=self._lease.epoch, from_seq=from_ms // FRAME_MS, text=text)
        self._tell(TRANSCRIPT_INTERIM, interim)
        if len(text.split()) >= WORDS_OF_SPEECH and not is_backchannel(text):
            self._judged(SpeechVerdict.SPEECH, None)

    async def _decoded(self, heard: bytes) -> Decoded:
        with self._budget.final():
            return await self._transcribed(heard)

    async def _transcribed(self, heard: bytes) -> Decoded:
        brief = self._lease.brief
        begun_s = time.perf_counter()
        text = error = ""
        try:
            text = await self._recognizer.transcribe(Utterance(heard, brief.language, tuple(brief.hints)))
        except ProviderError as e:
            error = e.code
        except Exception:
            log.exception("the recogniser broke", extra={"call_id": self._lease.call_id})
            error = "stt_broken"
        return Decoded(text, (time.perf_counter() - begun_s) * 1000, error)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
