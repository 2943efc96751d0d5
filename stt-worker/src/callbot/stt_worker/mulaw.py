"""G.711 mu-law bytes as samples."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatSamples = NDArray[np.float32]


def _table() -> FloatSamples:
    """ITU-T G.711, table 2a, scaled from 14 to 16 bits: value = ±(((mantissa·8 + 132) << exponent) − 132)."""
    inverted = np.arange(256) ^ 0xFF
    magnitude = ((((inverted & 0x0F) << 3) + 132) << ((inverted >> 4) & 0x07)) - 132
    signed = np.where(inverted & 0x80, -magnitude, magnitude)
    return (signed / 32768).astype(np.float32)


_SAMPLE_OF: Final = _table()


def decode(audio: bytes) -> FloatSamples:
    """Samples in -1…1, as many as there are bytes."""
    return _SAMPLE_OF[np.frombuffer(audio, dtype=np.uint8)]
