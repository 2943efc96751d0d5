"""What the caller's microphone picks up besides the caller: the room, and the bot's own voice as an echo."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from callbot.schemas.audio import FRAME_BYTES, FRAME_MS
from callbot.studio.emulator.loudness import SILENT_FRAME
from callbot.studio.emulator.recording import decode, encode


@dataclass(frozen=True, slots=True)
class Echo:
    """The earpiece as the microphone hears it."""

    attenuation_db: float = 30.0
    delay_ms: int = 100
    """In whole frames of 20 ms, one at least."""


class Surroundings:
    """Mixed into each frame of the caller. Scripted voices carry no text through it."""

    def __init__(self, echo: Echo | None = None, background: bytes = b"") -> None:
        """`background`: mu-law, played over and over."""
        self.background = background
        self._gain = 10 ** (-echo.attenuation_db / 20) if echo else 0.0
        delay = max(1, echo.delay_ms // FRAME_MS) if echo else 1
        self._coming_back = deque([SILENT_FRAME] * delay)
        self._at = 0

    def heard(self, frame: bytes) -> None:
        """What the caller's earpiece plays: once for each 20 ms, after `around`."""
        self._coming_back.append(frame)

    def around(self, frame: bytes) -> bytes:
        """The caller's 20 ms with all that is around."""
        echo = self._coming_back.popleft() if self._coming_back else SILENT_FRAME
        sounds = []
        if self._gain and echo != SILENT_FRAME:
            sounds.append(decode(echo) * self._gain)
        if self.background:
            sounds.append(decode(self._next_background()).astype(np.float64))
        if not sounds:
            return frame
        mixed = np.sum([decode(frame), *sounds], axis=0)
        return encode(np.round(np.clip(mixed, -32767, 32767)).astype(np.int16))

    def _next_background(self) -> bytes:
        piece = b""
        while len(piece) < FRAME_BYTES:
            self._at %= len(self.background)
            part = self.background[self._at : self._at + FRAME_BYTES - len(piece)]
            piece += part
            self._at += len(part)
        return piece
