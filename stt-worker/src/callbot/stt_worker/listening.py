"""One call's ears: its frames in, its turns out."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import BusError, ProviderError
from callbot.runtime.lease import Lease
from callbot.schemas.audio import BYTES_PER_MS, FRAME_BYTES, FRAME_MS, SILENCE_BYTE, CallerAudio
from callbot.schemas.speech import EarsProgress, TurnEnded
from callbot.schemas.subjects import CALLER_AUDIO, EARS_PROGRESS, TURN_ENDED
from callbot.stt_worker.end_of_turn import Ended, EndOfTurn, Happening, Resumed, WentQuiet
from callbot.stt_worker.recognizer import Recognizer, Utterance
from callbot.stt_worker.settings import Settings
from callbot.stt_worker.voice_activity import Ear, VoiceActivity

KEPT_MS: Final = 40_000
"""A replay is 30 s at most, and comes faster than it is judged."""
PROGRESS_FRAMES: Final = 10
IDLE_LEAD_MS: Final = 500
WARM_UP_MS: Final = 100
"""What a new holder's detector hears before an utterance's lead; with it `keep_from_seq` never falls."""
GRID_FRAMES: Final = 8
"""160 ms are whole chunks as well as whole frames: from there a new holder judges the same chunks."""
REAL_SPEECH_MS: Final = 300
"""Less voice than this without words is noise."""
LARGEST_GAP_FRAMES: Final = 30_000 // FRAME_MS
"""More is not filled up: what was in progress is over."""
log = logging.getLogger(__name__)


class AudioRing:
    """The last 40 s of a call, by position in its stream."""

    def __init__(self, from_ms: int) -> None:
        self._begin_ms = from_ms
        self._audio = bytearray()

    def append(self, audio: bytes) -> None:
        self._audio += audio
        excess_ms = len(self._audio) // BYTES_PER_MS - KEPT_MS
        # Cut by the second, not with every frame: deleting moves all that follows.
        if excess_ms >= 1000:
            del self._audio[: excess_ms * BYTES_PER_MS]
            self._begin_ms += excess_ms

    def between(self, from_ms: int, to_ms: int) -> bytes:
        first = max(0, from_ms - self._begin_ms) * BYTES_PER_MS
        return bytes(self._audio[first : max(0, to_ms - self._begin_ms) * BYTES_PER_MS])


@dataclass(frozen=True, slots=True)
class Decoded:
    text: str
    stt_ms: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    ended: Ended
    decoding: asyncio.Task[Decoded]


class CallEars:
    """The work of the ears' seat."""

    def __init__(
        self, lease: Lease, bus: Bus, detection: VoiceActivity, recognizer: Recognizer, settings: Settings
    ) -> None:
        from_ms = lease.from_seq * FRAME_MS
        self._lease = lease
        self._bus = bus
        self._detection = detection
        self._recognizer = recognizer
        self._settings = settings
        self._next_seq = lease.from_seq
        self._judged_ms = from_ms
        self._settled_ms = from_ms
        self._told_frames = 0
        self._audio = AudioRing(from_ms)
        self._course = self._course_from(from_ms)
        self._ear: Ear | None = None
        self._hearing: Listening | None = None
        self._decoding: asyncio.Task[Decoded] | None = None
        self._unsettled: list[Turn] = []
        self._turn_waits = asyncio.Event()
        self._progress_waits = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._ear = self._detection.listen(self._on_judged, from_ms=self._judged_ms)
        for work in (self._report_turns(), self._tell_progress()):
            self._tasks.add(asyncio.create_task(work))
        self._hearing = await self._bus.hear(CALLER_AUDIO, self._on_frame, call_id=self._lease.call_id)

    async def close(self) -> None:
        if self._ear is not None:
            self._detection.forget(self._ear)
        if self._hearing is not None:
            await self._hearing.stop()
        self._drop_decoding()
        decodings = [turn.decoding for turn in self._unsettled]
        for task in (*self._tasks, *decodings):
            task.cancel()
        await asyncio.gather(*self._tasks, *decodings, return_exceptions=True)

    @property
    def keep_from_seq(self) -> int:
        """Nothing before it would be needed by a new holder."""
        speech_ms = self._course.in_progress_from_ms
        if self._unsettled:
            speech_ms = self._unsettled[0].ended.from_ms
        lead_ms = self._judged_ms - IDLE_LEAD_MS if speech_ms is None else speech_ms - WARM_UP_MS
        on_grid = max(0, lead_ms) // FRAME_MS // GRID_FRAMES * GRID_FRAMES
        return max(on_grid, self._settled_ms // FRAME_MS)

    def _course_from(self, from_ms: int) -> EndOfTurn:
        return EndOfTurn(
            end_silence_ms=self._settings.end_silence_ms,
            max_utterance_ms=self._settings.max_utterance_ms,
            from_ms=from_ms,
        )

    def _begin_anew(self, seq: int) -> None:
        log.error("too much audio is missing", extra={"call_id": self._lease.call_id, "before_seq": seq})
        self._drop_decoding()
        if self._ear is not None:
            self._detection.forget(self._ear)
        self._judged_ms = seq * FRAME_MS
        self._audio = AudioRing(self._judged_ms)
        self._course = self._course_from(self._judged_ms)
        self._ear = self._detection.listen(self._on_judged, from_ms=self._judged_ms)

    def _on_frame(self, frame: CallerAudio) -> None:
        if not self._lease.admits(frame.epoch) or frame.seq < self._next_seq:
            return
        lost = frame.seq - self._next_seq
        if lost > LARGEST_GAP_FRAMES:
            self._begin_anew(frame.seq)
            lost = 0
        whole = frame.payload[:FRAME_BYTES].ljust(FRAME_BYTES, bytes([SILENCE_BYTE]))
        audio = bytes([SILENCE_BYTE]) * (lost * FRAME_BYTES) + whole
        self._next_seq = frame.seq + 1
        self._audio.append(audio)
        if self._ear is not None:
            self._ear.hear(audio)

    def _on_judged(self, end_ms: int, probability: float) -> None:
        frames_before, self._judged_ms = self._judged_ms // FRAME_MS, end_ms
        happening = self._course.hear(end_ms, probability)
        if happening is not None:
            self._follow(happening)
        self._told_frames += end_ms // FRAME_MS - frames_before
        if self._told_frames >= PROGRESS_FRAMES:
            self._told_frames %= PROGRESS_FRAMES
            self._progress_waits.set()

    def _follow(self, happening: Happening) -> None:
        match happening:
            case WentQuiet(from_ms, to_ms):
                self._decoding = self._decode(from_ms, to_ms)
            case Resumed():
                self._drop_decoding()
            case Ended(from_ms=from_ms, ended_at_ms=to_ms):
                decoding, self._decoding = self._decoding, None
                self._unsettled.append(Turn(happening, decoding or self._decode(from_ms, to_ms)))
                self._turn_waits.set()

    def _decode(self, from_ms: int, to_ms: int) -> asyncio.Task[Decoded]:
        brief = self._lease.brief
        audio = self._audio.between(from_ms, to_ms)
        return asyncio.create_task(self._decoded(Utterance(audio, brief.language, tuple(brief.hints))))

    async def _decoded(self, utterance: Utterance) -> Decoded:
        begun_s = time.perf_counter()
        text = error = ""
        try:
            text = await self._recognizer.transcribe(utterance)
        except ProviderError as e:
            error = e.code
        except Exception:
            log.exception("the recogniser broke", extra={"call_id": self._lease.call_id})
            error = "stt_broken"
        return Decoded(text, (time.perf_counter() - begun_s) * 1000, error)

    def _drop_decoding(self) -> None:
        decoding, self._decoding = self._decoding, None
        if decoding is not None:
            decoding.cancel()

    async def _report_turns(self) -> None:
        """One at a time, so that turns arrive in their order."""
        while True:
            await self._turn_waits.wait()
            self._turn_waits.clear()
            while self._unsettled:
                turn = self._unsettled[0]
                await self._report(turn.ended, await self._text_of(turn))
                if self._lease.over:
                    return
                self._settled_ms = turn.ended.ended_at_ms
                self._unsettled.pop(0)
                self._progress_waits.set()

    async def _text_of(self, turn: Turn) -> Decoded:
        deadline_s = self._settings.decode_deadline_s
        try:
            return await asyncio.wait_for(turn.decoding, deadline_s)
        except TimeoutError:
            log.warning("the text came too late", extra={"call_id": self._lease.call_id})
            return Decoded("", deadline_s * 1000, "stt_timeout")

    async def _report(self, ended: Ended, decoded: Decoded) -> None:
        if not decoded.text and not decoded.error and ended.voiced_ms < REAL_SPEECH_MS:
            return
        report = TurnEnded(
            epoch=self._lease.epoch,
            from_seq=ended.from_ms // FRAME_MS,
            to_seq=ended.ended_at_ms // FRAME_MS - 1,
            text=decoded.text,
            speech_ended_at_ms=ended.speech_ended_at_ms,
            ended_at_ms=ended.ended_at_ms,
            stt_ms=round(decoded.stt_ms, 1),
            error=decoded.error,
        )
        facts = {"call_id": self._lease.call_id, "stt_ms": report.stt_ms, "error": report.error}
        log.info("turn ended", extra={**facts, "pii.text": report.text})
        if not await self._lease.report(TURN_ENDED, report) and not self._lease.over:
            log.error("a turn was lost", extra={"call_id": self._lease.call_id})

    async def _tell_progress(self) -> None:
        while True:
            await self._progress_waits.wait()
            self._progress_waits.clear()
            progress = EarsProgress(
                epoch=self._lease.epoch,
                heard_seq=max(0, self._judged_ms // FRAME_MS - 1),
                keep_from_seq=self.keep_from_seq,
            )
            try:
                await self._bus.tell(EARS_PROGRESS, progress, call_id=self._lease.call_id)
            except BusError as e:
                log.debug("progress was not told", extra={"reason": str(e)})
