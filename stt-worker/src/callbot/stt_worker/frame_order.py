"""The caller's frames in their order, also when the bus has lost some. Pure."""

from typing import Final

from callbot.schemas.audio import FRAME_BYTES, SILENCE_BYTE

WAIT_FRAMES: Final = 25
"""So many later frames are held back for one that is missing; then its place is silence."""
ASK_EVERY_FRAMES: Final = 5
_SILENCE: Final = bytes([SILENCE_BYTE])


class FrameOrder:
    def __init__(self, next_seq: int) -> None:
        self.next_seq = next_seq
        self._early: dict[int, bytes] = {}

    @property
    def missing_from_seq(self) -> int | None:
        """The first frame that is waited for; None when nothing is missing."""
        return self.next_seq if self._early else None

    @property
    def asks(self) -> bool:
        """Whether what is missing is to be asked for now: at once, and again while it does not come."""
        return len(self._early) % ASK_EVERY_FRAMES == 1

    def take(self, seq: int, payload: bytes) -> bytes:
        """The audio that this frame completes, in whole frames; none while one before it is missing."""
        if seq < self.next_seq or seq in self._early:
            return b""
        self._early[seq] = payload[:FRAME_BYTES].ljust(FRAME_BYTES, _SILENCE)
        audio = b""
        if len(self._early) > WAIT_FRAMES:
            lost = min(self._early) - self.next_seq
            audio = _SILENCE * (lost * FRAME_BYTES)
            self.next_seq += lost
        while (frame := self._early.pop(self.next_seq, None)) is not None:
            audio += frame
            self.next_seq += 1
        return audio
