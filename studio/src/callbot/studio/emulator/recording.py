"""What both sides heard, as a two-track WAV: the caller left, the bot right, aligned by the line's frames."""

import wave
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callbot.schemas.audio import SAMPLE_RATE_HZ

FRAMES_HELD = 50
"""One second between writes: small enough to lose, large enough not to bother the loop."""


@cache
def _linear() -> NDArray[np.int16]:
    """G.711 mu-law to 16 bits: 256 values (ITU-T G.711, table 2a, scaled as everyone does)."""
    code = ~np.arange(256, dtype=np.uint8)
    magnitude = (((code & 0x0F).astype(np.int32) << 3) + 132) << ((code >> 4) & 7).astype(np.int32)
    return np.where(code & 0x80, 132 - magnitude, magnitude - 132).astype(np.int16)


def decode(mu_law: bytes) -> NDArray[np.int16]:
    """Mu-law bytes to as many 16-bit samples."""
    return _linear()[np.frombuffer(mu_law, dtype=np.uint8)]


def encode(samples: NDArray[np.int16]) -> bytes:
    """16-bit samples to as many mu-law bytes (G.711: bias 132, clipped at 32,635)."""
    magnitude = np.minimum(np.abs(samples.astype(np.int32)), 32635) + 132
    chord = np.frexp(magnitude.astype(np.float32))[1] - 8
    step = (magnitude >> (chord + 3)) & 0x0F
    sign = np.where(samples < 0, 0x80, 0)
    codes: NDArray[np.uint8] = (~(sign | chord << 4 | step) & 0xFF).astype(np.uint8)
    return codes.tobytes()


class Recording:
    """Streams to disk about once a second. A full disk ends the recording, never the call: see `error`."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when the file cannot be made."""
        self.path = path
        self.error: OSError | None = None
        self._caller = bytearray()
        self._bot = bytearray()
        self._frames = 0
        # wave.open with a path that cannot be opened leaves a broken object behind.
        self._opened = path.open("wb")
        self._file = wave.open(self._opened, "wb")  # noqa: SIM115
        self._file.setnchannels(2)
        self._file.setsampwidth(2)
        self._file.setframerate(SAMPLE_RATE_HZ)

    def add(self, caller: bytes, bot: bytes) -> None:
        """One frame of each side, of equal length."""
        self._caller += caller
        self._bot += bot
        self._frames += 1
        if self._frames % FRAMES_HELD == 0:
            self._write()

    def close(self) -> None:
        self._write()
        try:
            with self._opened:
                self._file.close()
        except OSError as error:
            self.error = error

    def _write(self) -> None:
        tracks = np.stack((decode(bytes(self._caller)), decode(bytes(self._bot))), axis=1)
        self._caller.clear()
        self._bot.clear()
        if self.error is not None:
            return
        try:
            self._file.writeframes(tracks.astype("<i2").tobytes())
        except OSError as error:
            self.error = error
