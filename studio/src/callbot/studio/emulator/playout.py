"""Twilio's play-out buffer: media, marks, clear in; what is heard in each 20 ms and which marks echo out.

Pure: the clock is an argument. Audio plays at 8,000 bytes a second from the first frame that begins after
it has arrived.
"""

from collections import deque
from dataclasses import dataclass

from callbot.schemas.audio import BYTES_PER_MS, FRAME_BYTES, SILENCE_BYTE
from callbot.studio.emulator.cut import KEPT_BYTES, Cut


@dataclass(frozen=True, slots=True)
class Played:
    """20 ms at the caller's ear."""

    audio: bytes
    """160 bytes; silence where nothing was queued."""
    arrived_ms: float | None
    """When the first byte played here had arrived; None for silence of our own making."""
    echoed: tuple[str, ...] = ()
    """Marks whose audio was over when this frame began."""


@dataclass(slots=True)
class _Audio:
    data: bytes
    arrived_ms: float
    at: int = 0


class Playout:
    """One stream's buffer. `next_frame` is called once for each 20 ms, with rising times."""

    def __init__(self) -> None:
        self._queue: deque[_Audio | str] = deque()
        self._finishing: list[str] = []
        self._busy_until_ms = 0.0
        self.queued_bytes = 0
        self.cuts: list[Cut] = []
        self._heard = bytearray()

    def append(self, audio: bytes, at_ms: float) -> None:
        """Audio of any length that arrived at `at_ms`."""
        if audio:
            self._queue.append(_Audio(audio, at_ms))
            self.queued_bytes += len(audio)
            if self.cuts:
                self.cuts[-1].follow(audio)

    def mark(self, name: str, at_ms: float) -> tuple[str, ...]:
        """The marks to echo at once: this one, when nothing is playing any more."""
        if self._queue:
            self._queue.append(name)
        elif at_ms < self._busy_until_ms:
            self._finishing.append(name)
        else:
            return (name,)
        return ()

    def clear(self, at_ms: float) -> tuple[str, ...]:
        """Drops all audio; the frame that is being heard ends. Returns every outstanding mark, in order."""
        outstanding = (*self._finishing, *(item for item in self._queue if isinstance(item, str)))
        unheard = b"".join(item.data[item.at :] for item in self._queue if isinstance(item, _Audio))
        self.cuts.append(Cut(at_ms, bytes(self._heard), unheard))
        self._queue.clear()
        self._finishing.clear()
        self.queued_bytes = 0
        return outstanding

    def next_frame(self, at_ms: float) -> Played:
        """The 20 ms that begin at `at_ms`."""
        echoed, self._finishing = self._finishing, []
        while self._queue and isinstance(self._queue[0], str):
            echoed.append(self._next_mark())
        heard, arrived_ms = bytearray(), None
        while self._queue and len(heard) < FRAME_BYTES:
            item = self._queue[0]
            if isinstance(item, str):
                self._finishing.append(self._next_mark())
            elif item.arrived_ms > at_ms:
                break
            else:
                arrived_ms = item.arrived_ms if arrived_ms is None else arrived_ms
                heard += self._take(item, FRAME_BYTES - len(heard))
        if heard:
            self._busy_until_ms = at_ms + len(heard) / BYTES_PER_MS
            self._heard += heard
            del self._heard[:-KEPT_BYTES]
        self.queued_bytes -= len(heard)
        return Played(bytes(heard).ljust(FRAME_BYTES, bytes((SILENCE_BYTE,))), arrived_ms, tuple(echoed))

    def _next_mark(self) -> str:
        mark = self._queue.popleft()
        assert isinstance(mark, str)
        return mark

    def _take(self, item: _Audio, room: int) -> bytes:
        part = item.data[item.at : item.at + room]
        item.at += len(part)
        if item.at == len(item.data):
            self._queue.popleft()
        return part
