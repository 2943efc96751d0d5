import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from callbot.runtime.errors import SettingsError
from callbot.stt_worker import mulaw
from callbot.stt_worker.mulaw import FloatSamples
from callbot.stt_worker.prosody import Prosody, open_prosody
from callbot.stt_worker.providers.smart_turn import SmartTurn, log_mel
from callbot.stt_worker.settings import Settings

SILENCE = b"\xff" * 8000


class Hears:
    """A model that keeps what it was given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[FloatSamples] = []
        self._error = error

    def finished(self, samples: FloatSamples) -> float:
        self.heard.append(samples)
        if self._error is not None:
            raise self._error
        return 0.75


class Stuck:
    def __init__(self) -> None:
        self.go_on = threading.Event()

    def finished(self, samples: FloatSamples) -> float:
        self.go_on.wait(10)
        return 0.75


@pytest.fixture
async def pool() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def test_the_model_gets_the_silence_it_was_trained_with(pool: ThreadPoolExecutor) -> None:
    model = Hears()
    assert await Prosody(model, pool).finished(b"\x20" * 8000, 80) == 0.75
    assert len(model.heard[0]) == 8000 + 120 * 8
    assert not model.heard[0][8000:].any()
    await Prosody(model, pool).finished(b"\x20" * 8000, 260)
    assert len(model.heard[1]) == 8000


async def test_the_model_gets_the_last_eight_seconds(pool: ThreadPoolExecutor) -> None:
    model = Hears()
    await Prosody(model, pool).finished(b"\x20" * 8000 * 12, 200)
    assert len(model.heard[0]) == 8 * 8000


async def test_without_a_model_nothing_is_said(pool: ThreadPoolExecutor) -> None:
    assert await Prosody(None, pool).finished(SILENCE, 100) is None


async def test_a_broken_model_says_nothing(pool: ThreadPoolExecutor) -> None:
    assert await Prosody(Hears(RuntimeError("broken")), pool).finished(SILENCE, 100) is None


async def test_a_late_answer_is_none(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbot.stt_worker.prosody.WITHIN_S", 0.01)
    stuck = Stuck()
    assert await Prosody(stuck, pool).finished(SILENCE, 100) is None
    stuck.go_on.set()


async def test_a_missing_model_is_refused_only_where_it_is_asked_for(tmp_path: Path) -> None:
    nowhere = tmp_path / "none.onnx"
    async with open_prosody(Settings(prosody="auto", prosody_model=nowhere)) as prosody:
        assert await prosody.finished(SILENCE, 100) is None
    async with open_prosody(Settings(prosody="off")) as prosody:
        assert await prosody.finished(SILENCE, 100) is None
    with pytest.raises(SettingsError, match=r"CALLBOT_PROSODY=smart-turn cannot be used: .*none\.onnx"):
        async with open_prosody(Settings(prosody="smart-turn", prosody_model=nowhere)):
            pass


def test_features_are_whispers() -> None:
    """Of a tone of 1 kHz at the end: in front of it nothing, its band the loudest (15 mel of Slaney)."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(4 * 8000) / 8000).astype(np.float32)
    features = log_mel(tone)
    assert features.shape == (80, 800)
    assert features.dtype == np.float32
    assert features[:, 600].argmax() == 26
    assert features[:, 600].max() - features[:, 200].max() > 1.0
    # Zero mean and unit variance: how loud it was does not matter.
    np.testing.assert_allclose(log_mel(tone * 0.1), features, atol=1e-3)
    np.testing.assert_allclose(
        log_mel(np.concatenate([tone, tone, tone])), log_mel(np.tile(tone, 2)), atol=1e-6
    )


def test_a_sentence_sounds_more_finished_than_its_beginning(say: Callable[[list[str]], list[bytes]]) -> None:
    model = SmartTurn()
    spoken = say(
        [
            "I would like to make a reservation for six people on Saturday.",
            "I can come on Thursday after work.",
        ]
    )
    for audio in map(mulaw.decode, spoken):
        pause = np.zeros(1600, np.float32)
        whole = model.finished(np.concatenate([audio, pause]))
        cut = model.finished(np.concatenate([audio[: len(audio) // 3], pause]))
        assert whole > 0.5
        assert whole - cut > 0.2
