"""What a line carries besides words: coughs, noise, hum, music. Mu-law at 8 kHz, the same for the same seed.

Levels are root mean squares in dBFS (a full-scale square wave has 0); Piper speaks at about -18.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from callbot.schemas.audio import BYTES_PER_MS, FRAME_BYTES, SAMPLE_RATE_HZ, SILENCE_BYTE
from callbot.studio.emulator.loudness import is_audible
from callbot.studio.emulator.recording import decode, encode

Samples = NDArray[np.float64]
"""Between -1 and 1, of any length."""

COUGH_DBFS = -16.0
_CHORDS = ((220.0, 277.2, 329.6), (196.0, 246.9, 293.7), (174.6, 220.0, 261.6), (164.8, 207.7, 246.9))
_BEAT_MS = 400


def silence(ms: int) -> bytes:
    return bytes((SILENCE_BYTE,)) * (ms * BYTES_PER_MS)


def noise(ms: int, dbfs: float, seed: int = 1) -> bytes:
    """Pink, as in a street or a busy room: 3 dB less for each octave."""
    return _encoded(_at_level(_pink(ms * BYTES_PER_MS, seed), dbfs))


def hum(ms: int, dbfs: float) -> bytes:
    """A refrigerator: 120 Hz and what a telephone lets through of its harmonics."""
    at_s = _seconds(ms)
    parts = [np.sin(2 * np.pi * 120 * number * at_s) / number for number in range(1, 9)]
    return _encoded(_at_level(np.sum(parts, axis=0), dbfs))


def music(ms: int, dbfs: float) -> bytes:
    """Chords that are struck and fade, with a bass below and a melody above."""
    at_s = _seconds(ms)
    samples = np.zeros(len(at_s))
    for beat, begin in enumerate(range(0, len(at_s), _BEAT_MS * BYTES_PER_MS)):
        part = slice(begin, begin + _BEAT_MS * BYTES_PER_MS)
        chord = _CHORDS[beat // 4 % len(_CHORDS)]
        tones = (*chord, chord[0] / 2, 2 * chord[beat % 3])
        struck = sum(np.sin(2 * np.pi * tone * at_s[part]) for tone in tones)
        samples[part] = struck * np.exp(-3 * (at_s[part] - at_s[begin]))
    return _encoded(_at_level(samples, dbfs))


def cough(seed: int = 1, dbfs: float = COUGH_DBFS) -> bytes:
    """One or two bursts: an explosion of 40 ms, a rushing decay of 150 ms, sometimes a voiced end.

    The phases are those of Korpáš, Sadloňová and Vrabec 1996, "Analysis of the cough sound: an overview".
    """
    rng = np.random.default_rng(seed)
    bursts = [_burst(rng) for _ in range(int(rng.integers(1, 3)))]
    gap = np.zeros(int(rng.integers(60, 140)) * BYTES_PER_MS)
    samples = np.concatenate([part for burst in bursts for part in (burst, gap)])[: -len(gap)]
    return _encoded(_at_level(samples, dbfs))


def joined(parts: Sequence[bytes], pause_ms: int) -> bytes:
    """Speech with pauses inside; what a voice adds before and after a part is no pause and is cut off."""
    return silence(pause_ms).join(trimmed(part) for part in parts)


def trimmed(audio: bytes) -> bytes:
    """From the first audible frame to the last."""
    frames = [audio[at : at + FRAME_BYTES] for at in range(0, len(audio), FRAME_BYTES)]
    audible = [number for number, frame in enumerate(frames) if is_audible(frame)]
    return b"".join(frames[audible[0] : audible[-1] + 1]) if audible else b""


def level_dbfs(audio: bytes) -> float:
    """Of the audible frames; -100 when there are none."""
    frames = (audio[at : at + FRAME_BYTES] for at in range(0, len(audio), FRAME_BYTES))
    audible = b"".join(frame for frame in frames if is_audible(frame))
    power = float(np.mean((decode(audible) / 32768) ** 2)) if audible else 0.0
    return 10 * float(np.log10(power + 1e-10))


def pitched(audio: bytes, factor: float) -> bytes:
    """Higher and as much quicker (above 1), or lower and slower: another throat."""
    samples = decode(audio).astype(np.float64) / 32768
    at = np.arange(0, len(samples) - 1, factor)
    if factor > 1:
        samples = _low_passed(samples, 0.5 / factor)
    return _encoded(np.interp(at, np.arange(len(samples)), samples))


def _burst(rng: np.random.Generator) -> Samples:
    size = int(rng.integers(170, 260)) * BYTES_PER_MS
    at_ms = np.arange(size) / BYTES_PER_MS
    rush = np.diff(rng.standard_normal(size + 1))
    envelope = np.minimum(at_ms / 8, 1) * np.where(at_ms < 40, 1.0, np.exp(-(at_ms - 40) / 60))
    burst: Samples = rush * envelope
    if rng.random() < 0.4:
        throat = np.sign(np.sin(2 * np.pi * rng.uniform(150, 260) * at_ms / 1000))
        burst += 0.3 * throat * np.where(at_ms > 110, np.exp(-(at_ms - 110) / 40), 0)
    return burst


def _pink(size: int, seed: int) -> Samples:
    white = np.fft.rfft(np.random.default_rng(seed).standard_normal(size))
    shape = 1 / np.sqrt(np.maximum(np.arange(len(white)), 1))
    shape[0] = 0
    pink: Samples = np.fft.irfft(white * shape, size)
    return pink


def _low_passed(samples: Samples, cycles_per_sample: float) -> Samples:
    spectrum = np.fft.rfft(samples)
    spectrum[int(2 * cycles_per_sample * len(spectrum)) :] = 0
    passed: Samples = np.fft.irfft(spectrum, len(samples))
    return passed


def _seconds(ms: int) -> Samples:
    return np.arange(ms * BYTES_PER_MS) / SAMPLE_RATE_HZ


def _at_level(samples: Samples, dbfs: float) -> Samples:
    power = float(np.mean(samples**2))
    levelled: Samples = samples * (10 ** (dbfs / 20) / np.sqrt(power + 1e-20))
    return levelled


def _encoded(samples: Samples) -> bytes:
    return encode(np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16))
