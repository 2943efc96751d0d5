import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from callbot.runtime.errors import SettingsError
from callbot.schemas.text_audio import audible
from callbot.stt_worker import mulaw
from callbot.stt_worker.mulaw import FloatSamples
from callbot.stt_worker.providers.silero import SileroJudge
from callbot.stt_worker.voice_activity import CHUNK_SAMPLES, EnergyJudge, Judge, voice_activity


async def judged(judge: Judge, calls: Sequence[bytes]) -> list[list[tuple[int, float]]]:
    """All calls at once, handed over in one go."""
    heard: list[list[tuple[int, float]]] = [[] for _ in calls]
    done = asyncio.Event()
    whole = [len(audio) // CHUNK_SAMPLES for audio in calls]

    def listener(call: int):
        def on_judged(end_ms: int, probability: float, _: float) -> None:
            heard[call].append((end_ms, probability))
            if [len(h) for h in heard] == whole:
                done.set()

        return on_judged

    async with voice_activity(judge) as detection:
        ears = [detection.listen(listener(call)) for call in range(len(calls))]
        for ear, audio in zip(ears, calls, strict=True):
            for at in range(0, len(audio), 160):
                ear.hear(audio[at : at + 160])
        await asyncio.wait_for(done.wait(), 20)
    return heard


async def test_many_calls_together_are_judged_as_each_alone(spoken: dict[str, bytes]) -> None:
    judge = SileroJudge()
    calls = [b"\xff" * 8000 + audio for audio in spoken.values()]
    together = await judged(judge, calls)
    for audio, heard in zip(calls, together, strict=True):
        memory, alone = judge.fresh(), []
        for at in range(0, len(audio) - CHUNK_SAMPLES + 1, CHUNK_SAMPLES):
            chunk = mulaw.decode(audio[at : at + CHUNK_SAMPLES])[None]
            probability, (memory,) = judge.judge(chunk, [memory])
            alone.append(float(probability[0]))
        assert [end_ms for end_ms, _ in heard] == [32 * (i + 1) for i in range(len(alone))]
        np.testing.assert_allclose([p for _, p in heard], alone, atol=1e-3)


async def test_silero_hears_speech_and_nothing_else(spoken: dict[str, bytes]) -> None:
    noise = np.random.default_rng(7).integers(0x70, 0x7F, 16_000, dtype=np.uint8).tobytes()
    speech, hiss, nothing = await judged(
        SileroJudge(), [b"\xff" * 4000 + next(iter(spoken.values())), noise, b"\xff" * 16_000]
    )
    assert max(p for _, p in speech[:12]) < 0.35
    assert np.mean([p > 0.5 for _, p in speech[16:]]) > 0.7
    assert max(p for _, p in hiss) < 0.5
    assert max(p for _, p in nothing) < 0.2


async def test_energy_tells_scripted_audio_from_silence() -> None:
    text = audible("a table for four")
    [heard] = await judged(EnergyJudge(), [b"\xff" * 2560 + text + b"\xff" * 2560])
    speech = len(text) // CHUNK_SAMPLES
    assert [p for _, p in heard][:10] == [0.0] * 10
    assert [p for _, p in heard][10 : 10 + speech] == [1.0] * speech
    assert heard[-1][1] == 0.0


async def test_the_level_of_each_chunk_comes_with_it() -> None:
    levels: list[float] = []
    done = asyncio.Event()

    def on_judged(end_ms: int, _: float, level_dbfs: float) -> None:
        levels.append(level_dbfs)
        if end_ms == 3 * 32:
            done.set()

    async with voice_activity(EnergyJudge()) as detection:
        ear = detection.listen(on_judged)
        # Mu-law of full scale, of a tenth of it, of nothing.
        for byte in (0x80, 0xB4, 0xFF):
            ear.hear(bytes([byte]) * CHUNK_SAMPLES)
        await asyncio.wait_for(done.wait(), 5)
    assert levels == pytest.approx([-0.2, -20.0, -100.0], abs=0.5)


async def test_a_long_replay_holds_no_other_call_up() -> None:
    """The one chunk of the second call is judged in the first or second run, not behind a thousand."""
    order: list[str] = []
    done = asyncio.Event()

    def replayed(end_ms: int, *_: float) -> None:
        order.append("replay")
        if end_ms == 1000 * 32:
            done.set()

    async with voice_activity(EnergyJudge()) as detection:
        replay = detection.listen(replayed)
        live = detection.listen(lambda *_: order.append("live"))
        replay.hear(b"\xff" * CHUNK_SAMPLES * 1000)
        live.hear(b"\xff" * CHUNK_SAMPLES)
        await asyncio.wait_for(done.wait(), 10)
    assert order.index("live") < 5


async def test_a_forgotten_call_is_not_called_back() -> None:
    heard: list[int] = []
    other = asyncio.Event()
    async with voice_activity(EnergyJudge()) as detection:
        ear = detection.listen(lambda end_ms, *_: heard.append(end_ms))
        ear.hear(b"\xff" * CHUNK_SAMPLES)
        detection.forget(ear)
        detection.listen(lambda *_: other.set()).hear(b"\xff" * CHUNK_SAMPLES)
        await asyncio.wait_for(other.wait(), 5)
    assert heard == []


class BrokenJudge(EnergyJudge):
    def judge(self, chunks: FloatSamples, memories: Sequence[None]) -> tuple[FloatSamples, Sequence[None]]:
        raise ValueError("no such model")


class HangingJudge(EnergyJudge):
    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def judge(self, chunks: FloatSamples, memories: Sequence[None]) -> tuple[FloatSamples, Sequence[None]]:
        self.begun.set()
        self.go_on.wait(10)
        return super().judge(chunks, memories)


async def test_a_dead_thread_is_seen() -> None:
    async with voice_activity(BrokenJudge()) as detection:
        assert detection.working
        detection.listen(lambda *_: None).hear(b"\xff" * CHUNK_SAMPLES)
        await asyncio.to_thread(detection.join, 5)
        assert not detection.working


async def test_a_hanging_thread_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbot.stt_worker.voice_activity.STALLED_AFTER_S", 0.0)
    judge = HangingJudge()
    heard = asyncio.Event()
    async with voice_activity(judge) as detection:
        detection.listen(lambda *_: heard.set()).hear(b"\xff" * CHUNK_SAMPLES)
        await asyncio.to_thread(judge.begun.wait, 5)
        assert not detection.working
        judge.go_on.set()
        await asyncio.wait_for(heard.wait(), 5)
        assert detection.working


def test_a_missing_model_is_one_sentence(tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"none\.onnx cannot be used"):
        SileroJudge(tmp_path / "none.onnx")
