"""What waits to be sent to Deepgram, how fast it may be, and what its time stamps mean in the call.

Pure: no clock, no I/O. Positions inside are bytes of the call's mu-law, 8,000 a second.
"""

from collections import deque
from typing import Final

from callbot.schemas.audio import BYTES_PER_MS, SILENCE_BYTE

LARGEST_FILLED_MS: Final = 1000
"""A longer gap is left out: to fill it would hold up what comes after it."""
KEPT_MS: Final = 40_000
"""As the ring of the call's audio: a replay is 30 s at most."""
BURST_MS: Final = 500
"""Frames of a live call come in heaps when the network stutters, and wait while a connection is opened."""


class Overflow(Exception):
    """More waits than is kept."""


class Outbox:
    """Audio in the order of the call; what it has seen already is dropped, a small gap becomes silence."""

    def __init__(self) -> None:
        self._runs: deque[tuple[int, bytearray]] = deque()
        self._waiting = 0
        self._end: int | None = None

    @property
    def waiting_bytes(self) -> int:
        return self._waiting

    @property
    def begin_ms(self) -> int | None:
        """Where the first that waits lies. None: nothing waits."""
        return self._runs[0][0] // BYTES_PER_MS if self._runs else None

    def put(self, from_ms: int, audio: bytes) -> None:
        """Raises Overflow."""
        begin = from_ms * BYTES_PER_MS
        gap = 0 if self._end is None else begin - self._end
        if gap < 0:
            audio, begin, gap = audio[-gap:], begin - gap, 0
        if not audio:
            return
        if 0 < gap <= LARGEST_FILLED_MS * BYTES_PER_MS:
            audio, begin, gap = bytes([SILENCE_BYTE]) * gap + audio, begin - gap, 0
        if self._waiting + len(audio) > KEPT_MS * BYTES_PER_MS:
            raise Overflow
        if gap or not self._runs:
            self._runs.append((begin, bytearray()))
        self._runs[-1][1].extend(audio)
        self._waiting += len(audio)
        self._end = begin + len(audio)

    def take(self, most_bytes: int) -> tuple[int, bytes]:
        """The next that belongs together: its position in bytes, and itself. Raises IndexError."""
        begin, run = self._runs.popleft()
        piece = bytes(run[:most_bytes])
        if rest := run[most_bytes:]:
            self._runs.appendleft((begin + len(piece), rest))
        self._waiting -= len(piece)
        return begin, piece


class Pace:
    """Deepgram takes audio at 1.25 times real time at most; a short burst of a live call is none of that."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._digested_at_s = 0.0

    def wait_s(self, now_s: float, ms: float) -> float:
        """How long to wait before so much more is sent. It counts as sent."""
        begun_s = max(self._digested_at_s, now_s)
        self._digested_at_s = begun_s + ms / self._speed / 1000
        return max(0.0, begun_s - now_s - BURST_MS / 1000)


class CallClock:
    """Deepgram counts from the first byte of a connection; this knows where in the call each byte lies."""

    def __init__(self) -> None:
        self._sent = 0
        self._end: int | None = None
        self._anchors: list[tuple[int, int, bool]] = []
        """From this byte of the connection on: the byte of the call, and whether the call goes on there."""

    @property
    def sent_ms(self) -> int | None:
        """Up to where the call has been sent. None: nothing of it."""
        return None if self._end is None else self._end // BYTES_PER_MS

    def sent(self, begin: int, size: int) -> None:
        """So many bytes of the call, from this one on."""
        if not self._anchors or begin != self._end or not self._anchors[-1][2]:
            self._anchors.append((self._sent, begin, True))
        self._sent += size
        self._end = begin + size

    def sent_filler(self, size: int) -> None:
        """So many bytes that are not the call's."""
        if self._anchors and self._anchors[-1][2]:
            self._anchors.append((self._sent, self._end or 0, False))
        self._sent += size

    def call_ms(self, vendor_s: float) -> int:
        """What Deepgram calls so many seconds. Within a filler: where the call stood still."""
        at = vendor_s * 1000 * BYTES_PER_MS
        call = 0.0
        for from_byte, begin, goes_on in self._anchors:
            if from_byte > at:
                break
            call = begin + (at - from_byte if goes_on else 0)
        return round(call / BYTES_PER_MS)
