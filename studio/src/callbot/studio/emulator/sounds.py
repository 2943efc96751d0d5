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
    """One or two bursts: an explosion of 40 ms, a rushing decay of 150 ms, mostly a voiced end.

    The phases are those of Korpáš, Sadloňová and Vrabec 1996, "Analysis of the cough sound: an overview"; all
    of it sounds through an open mouth.
    """
    rng = np.random.default_rng(seed)
    bursts = [_burst(rng) for _ in range(int(rng.integers(1, 3)))]
    gap = np.zeros(int(rng.integers(60, 140)) * BYTES_PER_MS)
    samples = np.concatenate([part for burst in bursts for part in (burst, gap)])[: -len(gap)]
    return _encoded(_at_level(samples, dbfs))


def mm_hm(seed: int = 1, dbfs: float = -22.0) -> bytes:
    """Hummed with closed lips: a falling part, a breath through the nose, a rising part. Half a second."""
    rng = np.random.default_rng(seed)
    pitch_hz, ms = rng.uniform(100, 220), int(rng.integers(160, 240))
    low = _hummed(pitch_hz * np.linspace(1.05, 0.9, ms * BYTES_PER_MS))
    breath = 0.02 * rng.standard_normal(int(rng.integers(50, 90)) * BYTES_PER_MS)
    high = _hummed(pitch_hz * np.linspace(1.0, 1.35, int(ms * 1.2) * BYTES_PER_MS))
    return _encoded(_at_level(np.concatenate((low, breath, high)), dbfs))


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
    size = int(rng.integers(200, 340)) * BYTES_PER_MS
    at_ms = np.arange(size) / BYTES_PER_MS
    rush = rng.standard_normal(size) * np.where(at_ms < 40, 1.0, np.exp(-(at_ms - 40) / 60))
    if rng.random() < 0.7:
        pitch_hz = rng.uniform(120, 260) * (1 - 0.25 * at_ms / at_ms[-1])
        turns = np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
        throat = 1 - 2 * (turns % 1.0)
        rush += 2.5 * throat * np.clip((at_ms - 60) / 30, 0, 1) * np.exp(-np.maximum(at_ms - 110, 0) / 70)
    return _through_a_mouth(rush * np.minimum(at_ms / 8, 1), rng.uniform(0.85, 1.2))


def _hummed(pitch_hz: Samples) -> Samples:
    """Through the nose: strong at 250 Hz, weak above (Fujimura 1962, "Analysis of nasal consonants")."""
    throat = 1 - 2 * (np.cumsum(pitch_hz) / SAMPLE_RATE_HZ % 1.0)
    at = np.arange(len(pitch_hz)) / BYTES_PER_MS
    fades = np.clip(np.minimum(at, at[-1] - at) / 30, 0, 1)
    return _resonant(throat * fades, ((250, 60, 1.0), (1000, 150, 0.06), (2200, 250, 0.04)), 0.005)


def _through_a_mouth(samples: Samples, size: float) -> Samples:
    """An open vowel (Peterson and Barney 1952)."""
    return _resonant(samples, ((680 * size, 130, 1), (1250 * size, 160, 1), (2600 * size, 250, 1)), 0.05)


def _resonant(
    samples: Samples, resonances: Sequence[tuple[float, float, float]], otherwise: float
) -> Samples:
    """Filtered in the spectrum. `resonances`: middle and half width in Hz, gain."""
    spectrum = np.fft.rfft(samples)
    at_hz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ)
    shape = np.full(len(at_hz), otherwise)
    for middle_hz, width_hz, gain in resonances:
        shape += gain / (1 + ((at_hz - middle_hz) / width_hz) ** 2)
    sounding: Samples = np.fft.irfft(spectrum * shape, len(samples))
    return sounding


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
