"""Speech that a vendor's server can make at any rate, and that a test can tell again after resampling.

Each character is 40 ms of a tone of its own. At 8 kHz that is 320 samples, and the tones are multiples of
25 Hz: each lies in one bin of their spectrum.
"""

import numpy as np
from numpy.typing import NDArray

MS_PER_CHARACTER = 40
_STEP_HZ = 1000 // MS_PER_CHARACTER
_LOWEST, _TONES = 16, 89
"""In steps: 400 Hz to 2,600 Hz, which every telephone filter lets through."""
_LOUDNESS = 12_000


def tune(text: str) -> list[int]:
    """The tone of each character, in steps of 25 Hz."""
    return [_LOWEST + ord(character) * 7 % _TONES for character in text.strip()]


def spoken_pcm(text: str, rate_hz: int) -> bytes:
    """Signed 16-bit little-endian, 40 ms for each character."""
    at = np.arange(rate_hz * MS_PER_CHARACTER // 1000) / rate_hz
    tones = [np.sin(2 * np.pi * step * _STEP_HZ * at) for step in tune(text)]
    return (np.concatenate(tones) * _LOUDNESS).astype("<i2").tobytes()


def spoken_mulaw(text: str) -> bytes:
    """8,000 bytes a second, without a header."""
    wanted = np.frombuffer(spoken_pcm(text, 8000), "<i2").astype(np.int32)
    order = np.argsort(_EXPANDED)
    sorted_values = _EXPANDED[order]
    right = np.clip(np.searchsorted(sorted_values, wanted), 1, 255)
    nearer_left = wanted - sorted_values[right - 1] < sorted_values[right] - wanted
    return order[np.where(nearer_left, right - 1, right)].astype(np.uint8).tobytes()


def heard(audio: bytes) -> list[int]:
    """The tone of each whole 40 ms of mu-law; -1: none."""
    samples = _EXPANDED[np.frombuffer(audio, np.uint8)].astype(np.float64)
    length = 8 * MS_PER_CHARACTER
    found = []
    for begin in range(0, len(samples) - length + 1, length):
        spectrum = np.abs(np.fft.rfft(samples[begin : begin + length]))
        tone = int(np.argmax(spectrum))
        found.append(tone if spectrum[tone] > _LOUDNESS * length / 8 else -1)
    return found


def is_said(audio: bytes, text: str) -> bool:
    """All of it and nothing else. At most 20 ms may be missing or be too much, as a filter has its ends."""
    wanted = tune(text)
    missing = len(wanted) * 8 * MS_PER_CHARACTER - len(audio)
    return abs(missing) <= 160 and heard(audio + b"\xff" * max(0, missing)) == wanted


def begins(audio: bytes, text: str) -> bool:
    """Its beginning: some of it, as far as it goes. The last 80 ms may be a filter's end."""
    tones = heard(audio)
    sure = max(1, len(tones) - 2)
    return bool(tones) and tones[:sure] == tune(text)[:sure]


def _expanded() -> NDArray[np.int32]:
    """Each code's value, 16 bits wide, by ITU-T G.711, table 2a."""
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    value: NDArray[np.int32] = np.where(code & 0x80, 0x84 - magnitude, magnitude - 0x84).astype(np.int32)
    return value


_EXPANDED = _expanded()
