"""What one caller is saying, while it is being said: words, verdicts, and how long to wait for more."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from callbot.runtime.lease import Lease
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
from callbot.stt_worker.call_recognition import CallRecognition
from callbot.stt_worker.end_of_turn import (
    BUSY_QUIET_MS,
    QUIET_MS,
    Began,
    Ended,
    EndOfTurn,
    Happening,
    Resumed,
    StayedQuiet,
    WentQuiet,
)
from callbot.stt_worker.interims import EVERY_MS, FIRST_AFTER_MS, InterimBudget
from callbot.stt_worker.patience import UNFINISHED_MS, silence_wanted_ms
from callbot.stt_worker.prosody import Prosody
from callbot.stt_worker.recognizer import Utterance
from callbot.stt_worker.spoken import Spoken, Weighing
from callbot.stt_worker.turn_reports import REAL_SPEECH_MS, Decoded, Turn, TurnReports
from callbot.stt_worker.words import Completeness, completeness, word_count

WORDS_OF_SPEECH: Final = 2
"""In an interim transcript; one word may be made up from half a cough."""
JITTER_MS: Final = 100
"""Frames of a live call may come so much together."""
WORTH_THINKING_ABOUT: Final = (Completeness.DONE, Completeness.UNSURE)
log = logging.getLogger(__name__)

Tell = Callable[[Subject[Any], Message], None]


class Understanding:
    """Follows the course of one call's voice; what it finds out is told, or goes to the reports."""

    def __init__(
        self,
        lease: Lease,
        recognition: CallRecognition,
        prosody: Prosody,
        budget: InterimBudget,
        reports: TurnReports,
        tell: Tell,
        *,
        weighed: Callable[[], None],
        end_silence_ms: int,
        deadline_s: float,
    ) -> None:
        """`weighed` is called when a silence needs no more thought."""
        self._lease = lease
        self._recognition = recognition
        self._prosody = prosody
        self._budget = budget
        self._reports = reports
        self._tell = tell
        self._weighed = weighed
        self._end_silence_ms = end_silence_ms
        self._deadline_s = deadline_s
        self._spoken = Spoken(0, 0, over=True)
        self._tasks: set[asyncio.Task[Any]] = set()

    def may_hear(self, end_ms: int) -> bool:
        """May what ends there be followed? Not what comes before its time while a silence is weighed.

        A replay comes at once, far ahead of the words of its pauses: its turns would melt into one.
        """
        if (weighing := self._spoken.weighing) is None:
            return True
        passed_ms = (time.monotonic() - weighing.begun_s) * 1000
        return end_ms <= weighing.quiet.to_ms + passed_ms + JITTER_MS

    def follow(self, happening: Happening, course: EndOfTurn, audio: AudioRing) -> None:
        match happening:
            case Began(from_ms, voiced_from_ms):
                self._spoken = Spoken(from_ms, voiced_from_ms + FIRST_AFTER_MS)
                self._confirm(voiced_from_ms)
            case WentQuiet():
                self._went_quiet(happening, course, audio)
            case StayedQuiet():
                self._stayed_quiet()
            case Resumed(voiced_from_ms):
                self._resumed(voiced_from_ms)
            case Ended():
                self._ended(happening, audio)

    def listen_in(self, now_ms: int, course: EndOfTurn, audio: AudioRing) -> None:
        """Maybe a transcript of what has been said so far, or the recogniser's word that it is over."""
        spoken = self._spoken
        free = self._recognition.free_decoders
        course.quiet_ms = QUIET_MS if free >= 2 else BUSY_QUIET_MS
        if not course.is_speaking:
            self._hear_whether_over(spoken, course, audio)
        elif (so_far := self._recognition.so_far(spoken.from_ms)) is not None:
            self._heard_so_far(spoken, so_far)
        elif now_ms >= spoken.next_interim_ms and self._budget.begin(free):
            spoken.next_interim_ms = now_ms + EVERY_MS
            interim = self._spawn(self._interim(spoken, audio.between(spoken.from_ms, now_ms)))
            interim.add_done_callback(lambda _: self._budget.end())

    def drop(self) -> None:
        """What is being worked out is of no use any more."""
        self._spoken = Spoken(0, 0, over=True)
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        self.drop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _confirm(self, at_ms: int) -> None:
        confirmed = SpeechConfirmed(epoch=self._lease.epoch, from_seq=self._spoken.from_seq, at_ms=at_ms)
        self._tell(SPEECH_CONFIRMED, confirmed)

    def _went_quiet(self, quiet: WentQuiet, course: EndOfTurn, audio: AudioRing) -> None:
        spoken, heard = self._spoken, audio.between(quiet.from_ms, quiet.to_ms)
        spoken.waited_for, spoken.weighed = "silence", None
        spoken.decoding = self._spawn(self._transcribed(spoken.from_ms, heard))
        stayed = asyncio.Event()
        task = self._spawn(self._weigh(spoken, spoken.decoding, stayed, quiet, heard, course, audio))
        weighing = spoken.weighing = Weighing(quiet, time.monotonic(), task, stayed)
        task.add_done_callback(lambda _: self._has_weighed(spoken, weighing))

    def _has_weighed(self, spoken: Spoken, weighing: Weighing) -> None:
        if spoken.weighing is weighing:
            spoken.weighing = None
            self._weighed()

    def _stayed_quiet(self) -> None:
        if (weighing := self._spoken.weighing) is not None:
            weighing.stayed.set()

    def _resumed(self, voiced_from_ms: int) -> None:
        spoken = self._spoken
        if spoken.decoding is not None:
            spoken.decoding.cancel()
        if spoken.weighing is not None:
            spoken.weighing.task.cancel()
        spoken.decoding = spoken.weighing = spoken.weighed = None
        if spoken.eager:
            spoken.eager = False
            self._tell(TURN_RESUMED, TurnResumed(epoch=self._lease.epoch, from_seq=spoken.from_seq))
        if spoken.verdict not in (None, SpeechVerdict.SPEECH):
            # The bot may be speaking again since the verdict.
            spoken.verdict = None
            self._confirm(voiced_from_ms)

    def _ended(self, ended: Ended, audio: AudioRing) -> None:
        spoken = self._spoken
        spoken.over = True
        self._stayed_quiet()
        decoding = spoken.decoding
        if decoding is None:
            decoding = self._spawn(
                self._transcribed(ended.from_ms, audio.between(ended.from_ms, ended.ended_at_ms))
            )
        # From here on it is the reports' own.
        self._tasks.discard(decoding)
        self._reports.add(Turn(ended, decoding, spoken.waited_for))

    async def _weigh(
        self,
        spoken: Spoken,
        decoding: asyncio.Task[Decoded],
        stayed: asyncio.Event,
        quiet: WentQuiet,
        heard: bytes,
        course: EndOfTurn,
        audio: AudioRing,
    ) -> None:
        """The words and the sound of a silence: is it the end, and how long to wait until it is."""
        try:
            decoded = await asyncio.wait_for(asyncio.shield(decoding), self._deadline_s)
        except TimeoutError:
            decoded = Decoded("", self._deadline_s * 1000, "stt_timeout")
        # A silence inside a word resumes or stays within this time; it is decoded before that is known.
        await stayed.wait()
        self._judge(spoken, decoded, quiet.speech_ended_at_ms)
        if spoken.over:
            return
        words = completeness(decoded.text, self._lease.brief.language)
        if decoded.text and words in WORTH_THINKING_ABOUT:
            self._foresee(spoken, quiet, decoded)
        unclear = not decoded.text and not decoded.error and quiet.voiced_ms >= REAL_SPEECH_MS
        # Whoever has spoken and was not understood may be in the middle of it; more may explain it.
        wanted_ms, spoken.waited_for = UNFINISHED_MS if unclear else self._end_silence_ms, "silence"
        if decoded.text:
            finished = await self._sounds_finished(words, quiet, heard)
            over = self._recognition.says_over(spoken.from_ms) is True
            spoken.weighed = None if over else (words, finished)
            bounds = self._lease.brief.turn
            wanted_ms, spoken.waited_for = silence_wanted_ms(words, finished, bounds, told_over=over)
            facts = {"call_id": self._lease.call_id, "words": words.name, "finished": finished}
            log.debug("silence weighed", extra={**facts, "wanted_ms": wanted_ms, "pii.text": decoded.text})
        if not spoken.over and (ended := course.wait_until(wanted_ms)) is not None:
            self._ended(ended, audio)

    def _hear_whether_over(self, spoken: Spoken, course: EndOfTurn, audio: AudioRing) -> None:
        """Once in a silence, after it was weighed: a recogniser may be sure only then."""
        if spoken.over or spoken.weighed is None or self._recognition.says_over(spoken.from_ms) is not True:
            return
        (words, finished), spoken.weighed = spoken.weighed, None
        wanted_ms, why = silence_wanted_ms(words, finished, self._lease.brief.turn, told_over=True)
        if why == "provider":
            spoken.waited_for = why
            if (ended := course.wait_until(wanted_ms)) is not None:
                self._ended(ended, audio)

    async def _sounds_finished(self, words: Completeness, quiet: WentQuiet, heard: bytes) -> float | None:
        """Not asked for beside the decode, which it would slow down, nor where the words decide alone."""
        if words not in WORTH_THINKING_ABOUT:
            return None
        return await self._prosody.finished(heard, quiet.to_ms - quiet.speech_ended_at_ms)

    def _foresee(self, spoken: Spoken, quiet: WentQuiet, decoded: Decoded) -> None:
        spoken.eager = True
        eager = TurnEager(
            epoch=self._lease.epoch,
            from_seq=spoken.from_seq,
            text=decoded.text,
            speech_ended_at_ms=quiet.speech_ended_at_ms,
            stt_ms=round(decoded.stt_ms, 1),
        )
        self._tell(TURN_EAGER, eager)

    def _judge(self, spoken: Spoken, decoded: Decoded, sound_ended_at_ms: int) -> None:
        if decoded.error:
            return
        if not decoded.text:
            verdict = SpeechVerdict.NOISE
        elif decoded.is_no_interruption(self._lease.brief.language):
            verdict = SpeechVerdict.BACKCHANNEL
        else:
            verdict = SpeechVerdict.SPEECH
        self._judged(spoken, verdict, sound_ended_at_ms)

    def _judged(self, spoken: Spoken, verdict: SpeechVerdict, sound_ended_at_ms: int | None) -> None:
        if spoken.verdict in (verdict, SpeechVerdict.SPEECH):
            return
        spoken.verdict = verdict
        judged = SpeechJudged(
            epoch=self._lease.epoch,
            from_seq=spoken.from_seq,
            verdict=verdict,
            sound_ended_at_ms=sound_ended_at_ms,
        )
        self._tell(SPEECH_JUDGED, judged)

    async def _interim(self, spoken: Spoken, heard: bytes) -> None:
        text, doubted = await self._recognition.interim(self._utterance(spoken.from_ms, heard))
        self._heard_so_far(spoken, text, doubted=doubted)

    def _heard_so_far(self, spoken: Spoken, text: str, *, doubted: bool = False) -> None:
        if text == spoken.told_so_far or not text or spoken.over:
            return
        spoken.told_so_far = text
        interim = InterimTranscript(epoch=self._lease.epoch, from_seq=spoken.from_seq, text=text)
        self._tell(TRANSCRIPT_INTERIM, interim)
        language = self._lease.brief.language
        interrupts = not Decoded(text, 0.0, doubted=doubted).is_no_interruption(language)
        if word_count(text, language) >= WORDS_OF_SPEECH and interrupts:
            self._judged(spoken, SpeechVerdict.SPEECH, None)

    async def _transcribed(self, from_ms: int, heard: bytes) -> Decoded:
        return await self._recognition.final(self._utterance(from_ms, heard))

    def _utterance(self, from_ms: int, heard: bytes) -> Utterance:
        brief = self._lease.brief
        return Utterance(heard, brief.language, tuple(brief.hints), from_ms)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
