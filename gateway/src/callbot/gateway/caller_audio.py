"""The caller's frames: cut to 20 ms, numbered, and kept until the ears have settled them."""

from collections import deque
from typing import NamedTuple

from callbot.gateway.call_metrics import FRAMES
from callbot.schemas.audio import FRAME_BYTES, FRAME_MS

KEEP_FRAMES = 30_000 // FRAME_MS


class Frame(NamedTuple):
    seq: int
    payload: bytes
    arrived_at_ms: float


class CallerFrames:
    """Twilio promises no length of its media messages: whatever comes is cut anew."""

    def __init__(self) -> None:
        self._kept: deque[Frame] = deque(maxlen=KEEP_FRAMES)
        self._rest = b""
        self.next_seq = 0

    def cut(self, payload: bytes, now_ms: float) -> list[Frame]:
        """The whole frames that this payload completes."""
        if self._rest:
            payload = self._rest + payload
        whole = len(payload) - len(payload) % FRAME_BYTES
        self._rest = payload[whole:]
        frames = []
        for start in range(0, whole, FRAME_BYTES):
            frame = Frame(self.next_seq, payload[start : start + FRAME_BYTES], now_ms)
            self.next_seq += 1
            self._kept.append(frame)
            frames.append(frame)
        FRAMES.value += len(frames)
        return frames

    def settle(self, keep_from_seq: int) -> None:
        """Audio before this frame will never be asked for again."""
        while self._kept and self._kept[0].seq < keep_from_seq:
            self._kept.popleft()

    @property
    def keep_from_seq(self) -> int:
        """The oldest frame that a new holder has to hear."""
        return self._kept[0].seq if self._kept else self.next_seq

    def get(self, seq: int) -> Frame | None:
        """The frame, while it is kept."""
        index = seq - self.keep_from_seq
        return self._kept[index] if 0 <= index < len(self._kept) else None

    def arrived_at_ms(self, position_ms: int, default_ms: float) -> float:
        """When the frame at this position of the stream arrived, by the gateway's clock."""
        if not self._kept:
            return default_ms
        index = position_ms // FRAME_MS - self._kept[0].seq
        if index < 0:
            return self._kept[0].arrived_at_ms + index * FRAME_MS
        return self._kept[min(index, len(self._kept) - 1)].arrived_at_ms
