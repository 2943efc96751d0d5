"""What is kept of a call for Google, where to part it, how fast to send it, and which time its offsets mean.

Pure: no clock, no I/O. Positions are bytes of the call's mu-law, 8,000 a second, unless they are called ms.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from callbot.schemas.audio import BYTES_PER_MS, FRAME_BYTES, SILENCE_BYTE
from callbot.stt_worker import mulaw

KEPT_MS: Final = 40_000
"""As the ring of the call's audio: a replay is 30 s at most."""
FORGET_MS: Final = 5_000
LARGEST_GAP_MS: Final = 30_000
"""After a longer one the call begins anew: nothing before it is waited for."""
SILENT_DBFS: Final = -50.0
"""The ears' detector begins at -38; no word is so quiet, and a good line's noise is quieter."""
FADED_DB: Final = 22.0
"""So far below the loudest of the last seconds it is a pause, on a noisy line too."""
LOUDEST_OF_MS: Final = 2000
BURST_MS: Final = 3000
"""Google's own sample for endless streams sends the seconds that were not settled at once
(cloud.google.com/speech-to-text/docs/endless-streaming-tutorial). After more it says "too fast"."""
SPEED: Final = 1.25
"""Times real time, after a burst: "approximately real time" is asked for."""
RUN_MS: Final = 600
"""Of digital silence: where more waits than is allowed, all but the first half of such a run is left out."""


class CallAudio:
    """The last of a call. What was heard twice is taken once, a gap becomes silence."""

    def __init__(self) -> None:
        self._audio = bytearray()
        self.begin = 0
        self.known = False

    @property
    def end(self) -> int:
        return self.begin + len(self._audio)

    @property
    def end_ms(self) -> int:
        return self.end // BYTES_PER_MS

    def append(self, from_ms: int, audio: bytes) -> bool:
        """False: the gap before it is too long, and it was not taken."""
        at = from_ms * BYTES_PER_MS
        if not self.known:
            self.begin, self.known = at, True
        gap = at - self.end
        if gap > LARGEST_GAP_MS * BYTES_PER_MS:
            return False
        if gap >= BYTES_PER_MS:
            self._audio += bytes([SILENCE_BYTE]) * gap
        # Less than a millisecond is rounding: positions are told in milliseconds.
        self._audio += audio[-gap:] if gap <= -BYTES_PER_MS else audio
        excess = len(self._audio) - KEPT_MS * BYTES_PER_MS
        if excess >= FORGET_MS * BYTES_PER_MS:
            del self._audio[:excess]
            self.begin += excess
        return True

    def between(self, begin: int, end: int) -> bytes:
        return bytes(self._audio[max(0, begin - self.begin) : max(0, end - self.begin)])

    def silence_at(self, begin: int, end: int) -> int:
        """How many bytes of digital silence stand there, looked for until `end`."""
        waiting = self.between(begin, end)
        return len(waiting) - len(waiting.lstrip(bytes([SILENCE_BYTE])))

    def is_silent(self, from_ms: int, to_ms: int) -> bool:
        """No word can be there."""
        return _loudest(self.between(from_ms * BYTES_PER_MS, to_ms * BYTES_PER_MS)) < SILENT_DBFS

    def is_pause(self, from_ms: int, to_ms: int) -> bool:
        """It is quiet there, measured by the seconds before."""
        audio = self.between(max(0, to_ms - LOUDEST_OF_MS) * BYTES_PER_MS, to_ms * BYTES_PER_MS)
        length = (to_ms - from_ms) * BYTES_PER_MS
        return _loudest(audio[-length:]) < max(SILENT_DBFS, _loudest(audio) - FADED_DB)


def _loudest(audio: bytes) -> float:
    """The level of the loudest 20 ms, in dB below full scale."""
    if not audio.strip(bytes([SILENCE_BYTE])):
        return -120.0
    whole = audio + bytes([SILENCE_BYTE]) * (-len(audio) % FRAME_BYTES)
    frames = mulaw.decode(whole).reshape(-1, FRAME_BYTES)
    return float(10 * np.log10(np.max(np.mean(frames**2, axis=1)) + 1e-12))


class Pace:
    """A bucket of `BURST_MS` that fills at `SPEED`. `speed`: how much faster the vendor's time runs."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = SPEED * speed
        self._digested_at_s = 0.0
        self._burst_s = BURST_MS / 1000 / self._speed

    def wait_s(self, now_s: float, ms: float) -> float:
        """How long to wait before so much more is sent. It counts as sent."""
        begun_s = max(self._digested_at_s, now_s)
        self._digested_at_s = begun_s + ms / 1000 / self._speed
        return max(0.0, self._digested_at_s - now_s - self._burst_s)


class StreamClock:
    """Google counts from a stream's first byte; this knows where in the call each byte lies."""

    def __init__(self) -> None:
        self.sent = 0
        """Bytes of the stream."""
        self._call_end = 0
        self._anchors: list[tuple[int, int, bool]] = []
        """From this byte of the stream on: the byte of the call, and whether the call goes on there."""

    @property
    def sent_ms(self) -> int:
        return self.sent // BYTES_PER_MS

    def sent_call(self, at: int, size: int) -> None:
        if not self._anchors or not self._anchors[-1][2] or self._call_end != at:
            self._anchors.append((self.sent, at, True))
        self.sent += size
        self._call_end = at + size

    def sent_filler(self, at: int, size: int) -> None:
        """So many bytes that are not the call's, which stands at `at`."""
        if not self._anchors or self._anchors[-1][2]:
            self._anchors.append((self.sent, at, False))
        self.sent += size

    def begin_ms(self, stream_ms: float) -> int:
        """Of what begins there: where the call jumps, behind the jump."""
        return self._call_ms(stream_ms, lambda anchor, byte: anchor > byte)

    def end_ms(self, stream_ms: float) -> int:
        """Of what ends there: where the call jumps, before the jump."""
        return self._call_ms(stream_ms, lambda anchor, byte: anchor >= byte)

    def _call_ms(self, stream_ms: float, is_past: Callable[[int, float], bool]) -> int:
        byte = stream_ms * BYTES_PER_MS
        call = 0.0
        for number, (begin, at, goes_on) in enumerate(self._anchors):
            if number and is_past(begin, byte):
                break
            call = at + (byte - begin if goes_on else 0)
        return round(call / BYTES_PER_MS)
