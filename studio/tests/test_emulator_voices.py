"""What the caller speaks with: WAV files, Piper's child process, the telephone's band."""

import asyncio
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from callbot.studio.emulator.recording import decode
from callbot.studio.emulator.voices import VoiceError, for_telephone, piper_voice, wav_speech


def write_wav(path: Path, rate_hz: int, width: int, channels: int, samples: np.ndarray) -> None:
    scaled = np.round(samples * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    scaled = scaled + 128 if width == 1 else scaled
    packed = scaled.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(packed.reshape(-1, width), channels, axis=0).tobytes())


@pytest.mark.parametrize(
    ("rate_hz", "width", "channels"), [(8000, 1, 1), (22050, 2, 1), (44100, 3, 2), (48000, 4, 2)]
)
async def test_wav_files_of_every_kind_become_the_same_sound(
    tmp_path: Path, rate_hz: int, width: int, channels: int
) -> None:
    path = tmp_path / "sound.wav"
    at_s = np.arange(rate_hz // 2) / rate_hz
    write_wav(path, rate_hz, width, channels, 0.5 * np.sin(2 * np.pi * 1000 * at_s))
    heard = decode(await wav_speech(path)).astype(float)
    assert len(heard) == pytest.approx(4000, abs=2)
    spectrum = np.abs(np.fft.rfft(heard[400:3600]))
    assert np.argmax(spectrum) * 8000 / 3200 == pytest.approx(1000, abs=5)
    assert np.abs(heard).max() == pytest.approx(0.5 * 32768, rel=0.06)


def test_what_a_telephone_does_not_carry_is_filtered_out() -> None:
    at_s = np.arange(22050) / 22050
    heard = decode(for_telephone((0.5 * np.sin(2 * np.pi * 6000 * at_s)).astype(np.float32), 22050))
    assert np.abs(heard[400:-400]).max() < 50


async def test_files_that_are_no_wav(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("hello")
    for name in ("text.wav", "missing.wav"):
        with pytest.raises(VoiceError, match=f"{name} cannot be read"):
            await wav_speech(tmp_path / name)


PIPER_LIKE = """
import json, sys
print(json.dumps({"ready": True, "rate_hz": 16000}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["text"] == "break":
        print(json.dumps({"id": asked["id"], "error": "no words"}), flush=True)
        continue
    for piece in (b"\\x00\\x40" * 8000, b"\\x00\\x40" * 8000):
        header = {"id": asked["id"], "rate_hz": 16000, "bytes": 16000}
        sys.stdout.buffer.write(json.dumps(header).encode() + b"\\n" + piece)
    print(json.dumps({"id": asked["id"], "end": True}), flush=True)
"""


async def test_piper_speaks_in_pieces() -> None:
    async with piper_voice([sys.executable, "-c", PIPER_LIKE]) as voice:
        first, second = await asyncio.gather(voice.speech("a"), voice.speech("b"))
        assert first == second
        assert len(first) == pytest.approx(8000, abs=2)
        with pytest.raises(VoiceError, match="no words"):
            await voice.speech("break")
        assert len(await voice.speech("a")) == len(first)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; print('no such voice', file=sys.stderr)", r"did not start \(no such voice\)"),
        ('print(\'{"ready": false, "error": "no model"}\')', "no model"),
        ("print('ready')", "did not start"),
    ],
)
async def test_a_piper_that_does_not_start(code: str, why: str) -> None:
    with pytest.raises(VoiceError, match=why):
        async with piper_voice([sys.executable, "-c", code]):
            pytest.fail("it has not started")


async def test_a_piper_that_dies() -> None:
    code = "import sys; print('{\"ready\": true}', flush=True); sys.stdin.readline()"
    async with piper_voice([sys.executable, "-c", code]) as voice:
        with pytest.raises(VoiceError, match="ended"):
            await voice.speech("hello")
