"""What begins an utterance and what does not: the detector's model and the course, without a clock."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from callbot.stt_worker import mulaw
from callbot.stt_worker.end_of_turn import Began, EndOfTurn
from callbot.stt_worker.mulaw import FloatSamples
from callbot.stt_worker.providers.silero import SileroJudge
from callbot.stt_worker.voice_activity import CHUNK_MS, CHUNK_SAMPLES, levels_dbfs

RATE_HZ = 8000
BEFORE_MS = 1000
FRAME_MS = 20


@pytest.fixture(scope="module")
def judge() -> SileroJudge:
    return SileroJudge()


@pytest.fixture(scope="module")
def voices(say: Callable[[list[str]], list[bytes]]) -> list[FloatSamples]:
    """Sentences, each in five voices from low and slow to high and fast, without the silence around them."""
    texts = ["Yes, please.", "No.", "Wait, stop.", "How late are you open?", "I said four.", "Hello?"]
    return [
        _trimmed(_faster(mulaw.decode(audio), factor))
        for audio in say(texts)
        for factor in (0.8, 0.9, 1.0, 1.15, 1.3)
    ]


def _faster(samples: FloatSamples, factor: float) -> FloatSamples:
    at = np.arange(0, len(samples) - 1, factor)
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


def _trimmed(samples: FloatSamples) -> FloatSamples:
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[loud[0] : loud[-1]]


def _at_level(samples: FloatSamples, dbfs: float) -> FloatSamples:
    return samples * np.float32(10 ** (dbfs / 20) / np.sqrt(np.mean(samples**2)))


def _line(sound: FloatSamples, noise_dbfs: float = -65.0, offset_ms: int = 0) -> FloatSamples:
    """A second of the line, the sound, and half a second more."""
    before, after = (BEFORE_MS + offset_ms) * 8, 500 * 8
    line = np.concatenate([np.zeros(before), sound, np.zeros(after)])
    return (line + np.random.default_rng(1).normal(0, 10 ** (noise_dbfs / 20), len(line))).astype(np.float32)


def _began(judge: SileroJudge, line: FloatSamples) -> Iterator[int]:
    """When speech was confirmed: the ends of these chunks."""
    course, memory = EndOfTurn(), judge.fresh()
    for i in range(len(line) // CHUNK_SAMPLES):
        chunk = line[None, i * CHUNK_SAMPLES : (i + 1) * CHUNK_SAMPLES]
        probability, (memory,) = judge.judge(chunk, [memory])
        end_ms = (i + 1) * CHUNK_MS
        if isinstance(course.hear(end_ms, float(probability[0]), float(levels_dbfs(chunk)[0])), Began):
            yield end_ms


def test_speech_is_confirmed_quickly(judge: SileroJudge, voices: list[FloatSamples]) -> None:
    """In audio time, from the arrival of the first frame with speech to the one that ends the last chunk."""
    delays_ms = []
    for number, voice in enumerate(voices):
        offset_ms = number * 7 % CHUNK_MS
        confirmed_ms = next(_began(judge, _line(_at_level(voice, -22), offset_ms=offset_ms)))
        first_frame_ms = ((BEFORE_MS + offset_ms) // FRAME_MS + 1) * FRAME_MS
        delays_ms.append(-(-confirmed_ms // FRAME_MS) * FRAME_MS - first_frame_ms)
    assert np.percentile(delays_ms, 95) <= 140
    assert min(delays_ms) >= 0


@pytest.mark.parametrize(("dbfs", "share"), [(-22, 1.0), (-37, 1.0), (-40, 0.85)])
def test_quiet_callers_are_heard(
    judge: SileroJudge, voices: list[FloatSamples], dbfs: float, share: float
) -> None:
    heard = [any(_began(judge, _line(_at_level(voice, dbfs)))) for voice in voices]
    assert np.mean(heard) >= share


def test_the_echo_of_our_own_voice_is_not_heard(judge: SileroJudge, voices: list[FloatSamples]) -> None:
    echo = [voice * np.float32(10 ** (-30 / 20)) for voice in voices]
    assert [any(_began(judge, _line(voice))) for voice in echo] == [False] * len(voices)


@pytest.mark.parametrize("snr_db", [20, 10, 5])
def test_speech_in_noise_is_heard_and_the_noise_is_not(
    judge: SileroJudge, voices: list[FloatSamples], snr_db: int
) -> None:
    for voice in voices[::3]:
        began = list(_began(judge, _line(_at_level(voice, -22), noise_dbfs=-22 - snr_db)))
        assert began
        assert began[0] > BEFORE_MS


def _bursts(rng: np.random.Generator, ms: int, count: int, decay_ms: float) -> FloatSamples:
    sound = np.zeros(2000 * 8)
    for at in rng.integers(0, 1800 * 8, count):
        length = ms * 8
        sound[at : at + length] += rng.normal(0, 1, length) * np.exp(-np.arange(length) / (decay_ms * 8))
    return sound.astype(np.float32)


def _tones(rng: np.random.Generator, hertz: list[float]) -> FloatSamples:
    at = np.arange(RATE_HZ) / RATE_HZ
    return sum(np.sin(2 * np.pi * h * at + rng.uniform(0, 6)) for h in hertz).astype(np.float32)


def _cough(rng: np.random.Generator) -> FloatSamples:
    """A burst, then noise through a wide throat that fades: three times."""
    burst = rng.normal(0, 1, 40 * 8)
    spectrum = np.fft.rfft(rng.normal(0, 1, 250 * 8))
    hertz = np.fft.rfftfreq(250 * 8, 1 / RATE_HZ)
    throat = np.exp(-(((hertz - 600) / 300) ** 2)) + 0.6 * np.exp(-(((hertz - 1500) / 500) ** 2))
    rest = np.fft.irfft(spectrum * throat) * 3 * np.exp(-np.arange(250 * 8) / 700)
    return np.concatenate([burst, rest, np.zeros(150 * 8)] * 3).astype(np.float32)


SOUNDS: dict[str, Callable[[np.random.Generator], FloatSamples]] = {
    "clicks": lambda rng: _bursts(rng, 10, 6, 3),
    "typing": lambda rng: _bursts(rng, 30, 12, 8),
    "knocks": lambda rng: _bursts(rng, 80, 4, 25),
    "coughs": _cough,
    "hum": lambda rng: _tones(rng, [50.0, 100.0, 150.0, 250.0]),
    "beep": lambda rng: _tones(rng, [float(rng.uniform(400, 1500))]),
    "key": lambda rng: _tones(rng, [770.0, 1336.0]),
    "chord": lambda rng: _tones(rng, [262.0, 330.0, 392.0, 524.0, 660.0, 784.0]),
    "hiss": lambda rng: rng.normal(0, 1, 2 * RATE_HZ).astype(np.float32),
}


@pytest.mark.parametrize("sound", SOUNDS)
def test_what_is_no_speech_is_not_confirmed(judge: SileroJudge, sound: str) -> None:
    rng = np.random.default_rng(11)
    made = [SOUNDS[sound](rng) for _ in range(10)]
    began = [any(_began(judge, _line(s / np.float32(np.abs(s).max() * 2)))) for s in made]
    assert sum(began) <= 1
