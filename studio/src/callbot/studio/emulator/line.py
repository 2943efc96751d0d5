"""The phone line of one call: every 20 ms a frame of the caller goes out and a frame of the bot is heard.

It lives from answer to hang-up, across the streams that come and go. What is said while no stream is
connected is lost, as on a phone.
"""

import asyncio
from collections import deque

from callbot.schemas.audio import FRAME_BYTES, FRAME_MS
from callbot.studio.emulator.clock import Clock, Lateness
from callbot.studio.emulator.ear import Ear
from callbot.studio.emulator.loudness import SILENT_FRAME, is_audible
from callbot.studio.emulator.media_stream import MediaStream
from callbot.studio.emulator.recording import Recording
from callbot.studio.emulator.surroundings import Surroundings


class Speech:
    """Something the caller says, and when it was said."""

    def __init__(self, audio: bytes) -> None:
        self.frames = [
            audio[at : at + FRAME_BYTES].ljust(FRAME_BYTES, SILENT_FRAME[:1])
            for at in range(0, len(audio), FRAME_BYTES)
        ]
        self.started_ms: float | None = None
        self.last_word_ms: float | None = None
        """When its last audible frame was sent."""
        self.sent: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """When its last frame was sent."""


class Line:
    """`start` once the call is answered; one task paces everything."""

    def __init__(
        self, recording: Recording | None, speed: float, surroundings: Surroundings | None = None
    ) -> None:
        self.ear = Ear()
        self.surroundings = surroundings or Surroundings()
        self.lateness = Lateness()
        self.stream: MediaStream | None = None
        self.pacing: asyncio.Task[None] | None = None
        self._recording = recording
        self._speed = speed
        self.clock = Clock(speed)
        self._saying: deque[tuple[bytes, Speech]] = deque()
        self._pressing: deque[str] = deque()

    def start(self) -> None:
        """Begins the line's time. Starting again changes nothing."""
        if self.pacing is None:
            self.clock = Clock(self._speed)
            self.pacing = asyncio.create_task(self._pace())

    def say(self, audio: bytes) -> Speech:
        """Queues mu-law; speech follows speech without a gap."""
        speech = Speech(audio)
        self._saying.extend((frame, speech) for frame in speech.frames)
        if not speech.frames:
            speech.sent.set_result(self.clock.now_ms())
        return speech

    def press(self, keys: str) -> None:
        """One key every 100 ms, `w` waits half a second."""
        for key in keys:
            if key not in "0123456789*#ABCDw":
                raise ValueError(f"{key!r} is not a key of a phone")
        for key in keys:
            self._pressing.extend("w" * 25 if key == "w" else "wwww" + key)

    @property
    def is_pressing(self) -> bool:
        return bool(self._pressing)

    async def stop(self) -> None:
        """Ends the line; raises what has gone wrong on it."""
        self.ear.over()
        for _, speech in self._saying:
            speech.sent.cancel()
        pacing, self.pacing = self.pacing, None
        if pacing is not None:
            pacing.cancel()
            (outcome,) = await asyncio.gather(pacing, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome
        if self._recording is not None:
            self._recording.close()

    async def _pace(self) -> None:
        at_ms = 0
        while True:
            await self.clock.sleep_until(at_ms)
            self.lateness.add(self.clock.now_ms() - at_ms)
            self._frame(at_ms)
            at_ms += FRAME_MS

    def _frame(self, at_ms: int) -> None:
        caller = self.surroundings.around(self._next_frame())
        key = self._pressing.popleft() if self._pressing else "w"
        heard, arrived_ms = SILENT_FRAME, None
        if self.stream is not None:
            self.stream.send_audio(caller, at_ms)
            if key != "w":
                self.stream.press(key)
            played = self.stream.play(at_ms)
            heard, arrived_ms = played.audio, played.arrived_ms
        if self._recording is not None:
            self._recording.add(caller, heard)
        self.surroundings.heard(heard)
        self.ear.hear(at_ms, heard, arrived_ms)

    def _next_frame(self) -> bytes:
        if not self._saying:
            return SILENT_FRAME
        frame, speech = self._saying.popleft()
        now_ms = self.clock.now_ms()
        if is_audible(frame):
            speech.last_word_ms = now_ms
            if speech.started_ms is None:
                speech.started_ms = now_ms
        if (not self._saying or self._saying[0][1] is not speech) and not speech.sent.done():
            speech.sent.set_result(now_ms)
        return frame
