"""Mu-law of the phone as a WAV file, for recognisers that take files. Pure.

RIFF as Microsoft's "Multimedia Programming Interface and Data Specifications 1.0" has it: format tag 7 is
mu-law (with a `fact` chunk that counts the samples), tag 1 is PCM, little-endian.
"""

import struct
from typing import Final

import numpy as np

from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.stt_worker import mulaw

PCM: Final = 1
MULAW: Final = 7


def as_mulaw_wav(audio: bytes) -> bytes:
    """The same bytes behind a header."""
    fact = struct.pack("<4sII", b"fact", 4, len(audio))
    return _riff(struct.pack("<HHIIHHH", MULAW, 1, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, 1, 8, 0), fact, audio)


def as_pcm_wav(audio: bytes) -> bytes:
    """16-bit samples: twice as long, and understood by everybody."""
    samples = np.rint(mulaw.decode(audio) * 32768).astype("<i2").tobytes()
    return _riff(struct.pack("<HHIIHH", PCM, 1, SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ, 2, 16), b"", samples)


def _riff(how: bytes, fact: bytes, data: bytes) -> bytes:
    body = struct.pack("<4s4sI", b"WAVE", b"fmt ", len(how)) + how + fact
    body += struct.pack("<4sI", b"data", len(data)) + data + b"\0" * (len(data) % 2)
    return struct.pack("<4sI", b"RIFF", len(body)) + body
