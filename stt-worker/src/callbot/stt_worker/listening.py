"""One call's ears: its frames in, its turns out."""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import BusError
from callbot.runtime.lease import Lease
from callbot.schemas.audio import BYTES_PER_MS, FRAME_MS, CallerAudio
from callbot.schemas.message import Message
from callbot.schemas.speech import EarsProgress
from callbot.schemas.subjects import CALLER_AUDIO, EARS_PROGRESS, Subject
from callbot.schemas.usage import Used
from callbot.stt_worker.audio_ring import AudioRing
from callbot.stt_worker.call_recognition import CallRecognition
from callbot.stt_worker.end_of_turn import EndOfTurn
from callbot.stt_worker.frame_order import FrameOrder
from callbot.stt_worker.interims import InterimBudget
from callbot.stt_worker.prosody import Prosody
from callbot.stt_worker.recognition import Recognition
from callbot.stt_worker.settings import Settings
from callbot.stt_worker.turn_reports import TurnReports
from callbot.stt_worker.understanding import Understanding
from callbot.stt_worker.voice_activity import Ear, VoiceActivity

PROGRESS_FRAMES: Final = 10
IDLE_LEAD_MS: Final = 500
WARM_UP_MS: Final = 100
"""What a new holder's detector hears before an utterance's lead; with it `keep_from_seq` never falls."""
GRID_FRAMES: Final = 8
"""160 ms are whole chunks as well as whole frames: from there a new holder judges the same chunks."""
LARGEST_GAP_FRAMES: Final = 30_000 // FRAME_MS
"""More is not filled up: what was in progress is over."""
log = logging.getLogger(__name__)


class CallEars:
    """The work of the ears' seat."""

    def __init__(
        self,
        lease: Lease,
        bus: Bus,
        detection: VoiceActivity,
        recognition: Recognition,
        prosody: Prosody,
        budget: InterimBudget,
        settings: Settings,
    ) -> None:
        from_ms = lease.from_seq * FRAME_MS
        self._lease = lease
        self._bus = bus
        self._detection = detection
        self._settings = settings
        self._order = FrameOrder(lease.from_seq)
        self._judged_ms = from_ms
        self._unfollowed: deque[tuple[int, float, float]] = deque()
        self._told_frames = 0
        self._audio = AudioRing(from_ms)
        self._course = self._course_from(from_ms)
        self._ear: Ear | None = None
        self._hearing: Listening | None = None
        self._progress_waits = asyncio.Event()
        self._reports = TurnReports(
            lease,
            from_ms=from_ms,
            deadline_s=settings.decode_deadline_s,
            settled=self._progress_waits.set,
        )
        self._recognition = CallRecognition(
            recognition,
            lease.brief.language,
            lease.brief.hints,
            needed_from_ms=self._needed_from_ms,
            between=lambda from_ms, to_ms: self._audio.between(from_ms, to_ms),
            fell_back=self._tell_fell_back,
        )
        self._understanding = Understanding(
            lease,
            self._recognition,
            prosody,
            budget,
            self._reports,
            self._tell,
            weighed=self._follow,
            end_silence_ms=settings.end_silence_ms,
            deadline_s=settings.decode_deadline_s,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._ear = self._detection.listen(self._on_judged, from_ms=self._judged_ms)
        self._recognition.open()
        for work in (self._reports.report_for_ever(), self._tell_progress()):
            self._spawn(work)
        self._hearing = await self._bus.hear(CALLER_AUDIO, self._on_frame, call_id=self._lease.call_id)

    async def close(self) -> None:
        if self._ear is not None:
            self._detection.forget(self._ear)
        if self._hearing is not None:
            await self._hearing.stop()
        self._unfollowed.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._understanding.close()
        await self._reports.close()
        await self._recognition.close()

    def used(self) -> list[Used]:
        return self._recognition.used()

    @property
    def keep_from_seq(self) -> int:
        """Nothing before it would be needed by a new holder."""
        speech_ms = self._course.in_progress_from_ms
        if (unsettled_ms := self._reports.unsettled_from_ms) is not None:
            speech_ms = unsettled_ms
        lead_ms = self._judged_ms - IDLE_LEAD_MS if speech_ms is None else speech_ms - WARM_UP_MS
        on_grid = max(0, lead_ms) // FRAME_MS // GRID_FRAMES * GRID_FRAMES
        return max(on_grid, self._reports.settled_ms // FRAME_MS)

    def _needed_from_ms(self) -> int:
        """Where begins what the caller is saying, or may be about to say."""
        speech_ms = self._course.in_progress_from_ms
        return (
            max(self._lease.from_seq * FRAME_MS, self._judged_ms - IDLE_LEAD_MS)
            if speech_ms is None
            else speech_ms
        )

    def _course_from(self, from_ms: int) -> EndOfTurn:
        return EndOfTurn(
            longest_silence_ms=max(self._settings.end_silence_ms, self._lease.brief.turn.max_silence_ms),
            max_utterance_ms=self._settings.max_utterance_ms,
            from_ms=from_ms,
        )

    def _begin_anew(self, seq: int) -> None:
        log.error("too much audio is missing", extra={"call_id": self._lease.call_id, "before_seq": seq})
        self._understanding.drop()
        self._recognition.begin_anew()
        self._unfollowed.clear()
        if self._ear is not None:
            self._detection.forget(self._ear)
        self._order = FrameOrder(seq)
        self._judged_ms = seq * FRAME_MS
        self._audio = AudioRing(self._judged_ms)
        self._course = self._course_from(self._judged_ms)
        self._ear = self._detection.listen(self._on_judged, from_ms=self._judged_ms)

    def _on_frame(self, frame: CallerAudio) -> None:
        if not self._lease.admits(frame.epoch):
            return
        if frame.seq - self._order.next_seq > LARGEST_GAP_FRAMES:
            self._begin_anew(frame.seq)
        audio = self._order.take(frame.seq, frame.payload)
        if self._order.asks:
            self._progress_waits.set()
        if audio:
            self._audio.append(audio)
            if self._ear is not None:
                self._ear.hear(audio)
            self._recognition.hear(self._order.next_seq * FRAME_MS - len(audio) // BYTES_PER_MS, audio)

    def _on_judged(self, end_ms: int, probability: float, level_dbfs: float) -> None:
        self._unfollowed.append((end_ms, probability, level_dbfs))
        self._follow()

    def _follow(self) -> None:
        while self._unfollowed and self._understanding.may_hear(self._unfollowed[0][0]):
            self._follow_chunk(*self._unfollowed.popleft())

    def _follow_chunk(self, end_ms: int, probability: float, level_dbfs: float) -> None:
        frames_before, self._judged_ms = self._judged_ms // FRAME_MS, end_ms
        happening = self._course.hear(end_ms, probability, level_dbfs)
        if happening is not None:
            self._understanding.follow(happening, self._course, self._audio)
        self._understanding.listen_in(end_ms, self._course, self._audio)
        self._told_frames += end_ms // FRAME_MS - frames_before
        if self._told_frames >= PROGRESS_FRAMES:
            self._told_frames %= PROGRESS_FRAMES
            self._progress_waits.set()

    async def _tell_progress(self) -> None:
        while True:
            await self._progress_waits.wait()
            self._progress_waits.clear()
            progress = EarsProgress(
                epoch=self._lease.epoch,
                heard_seq=max(0, self._judged_ms // FRAME_MS - 1),
                keep_from_seq=self.keep_from_seq,
                missing_from_seq=self._order.missing_from_seq,
            )
            try:
                await self._bus.tell(EARS_PROGRESS, progress, call_id=self._lease.call_id)
            except BusError as e:
                log.debug("progress was not told", extra={"reason": str(e)})

    def _tell_fell_back(self, provider: str, reason: str, instead: str) -> None:
        self._spawn(self._lease.fell_back(provider, reason, instead=instead))

    def _tell(self, row: Subject[Any], message: Message) -> None:
        self._spawn(self._told(row, message))

    async def _told(self, row: Subject[Any], message: Message) -> None:
        try:
            await self._bus.tell(row, message, call_id=self._lease.call_id)
        except BusError as e:
            log.debug("not told", extra={"subject": row.name, "reason": str(e)})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
