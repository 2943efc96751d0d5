import io
import wave

import numpy as np
import pytest

from callbot.stt_worker import mulaw
from callbot.stt_worker.wav import as_mulaw_wav, as_pcm_wav
from tests.vendors.openai_transcription import mulaw_of

ALL = bytes(range(256))
ONE_ZERO = ALL.replace(b"\x7f", b"\xff")
"""Mu-law has two zeros, PCM one."""


@pytest.mark.parametrize("audio", [ALL, ALL[:-1], b""])
def test_mulaw_goes_through_untouched(audio: bytes) -> None:
    assert mulaw_of(as_mulaw_wav(audio)) == (7, audio)


@pytest.mark.parametrize("audio", [ONE_ZERO, ONE_ZERO[:-1]])
def test_pcm_has_the_value_of_every_byte(audio: bytes) -> None:
    assert mulaw_of(as_pcm_wav(audio)) == (1, audio)
    with wave.open(io.BytesIO(as_pcm_wav(audio))) as read:
        assert (read.getnchannels(), read.getsampwidth(), read.getframerate()) == (1, 2, 8000)
        samples = np.frombuffer(read.readframes(len(audio)), "<i2")
    assert np.array_equal(samples, np.rint(mulaw.decode(audio) * 32768).astype(np.int16))
