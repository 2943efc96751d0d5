"""PCM to G.711 mu-law at 8 kHz."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from callbot.tts_worker.telephone_audio import TelephoneAudio, mulaw


def decoded(code: int) -> int:
    """The reconstruction level of ITU-T G.711, table 2 (14 bits): segments of 16 steps, steps doubling."""
    code = ~code & 0xFF
    level = ((2 * (code & 15) + 33) << (code >> 4 & 7)) - 33
    return -level if code & 0x80 else level


LEVELS = np.array([decoded(code) for code in range(256)])
EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)


def test_the_table_of_the_recommendation() -> None:
    # Character signals and decision values as printed in G.711, tables 2a and 2b.
    known = {0: 0xFF, 4: 0xFE, 31 * 4: 0xEF, 95 * 4: 0xDF, 4063 * 4: 0x8F, 8031 * 4: 0x80, 32767: 0x80}
    for sample, code in known.items():
        assert mulaw(np.array([sample], np.int16)) == bytes([code])
    assert mulaw(np.array([-1, -4, -5, -32768], np.int16)) == bytes([0x7F, 0x7F, 0x7E, 0x00])


def test_every_sample_gets_the_step_that_it_lies_in() -> None:
    codes = np.frombuffer(mulaw(EVERY_SAMPLE), np.uint8)
    assert ((codes & 0x80 == 0) == (EVERY_SAMPLE < 0)).all()
    half_step = 1 << (~codes.astype(int) >> 4 & 7)
    error = np.abs(LEVELS[codes] - np.clip(EVERY_SAMPLE / 4, -8159, 8159))
    # Of 16 bits 14 are judged, so a sample next to a decision value may be off by that much.
    assert (error <= half_step + 1).all()


def test_it_agrees_with_another_implementation() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="removed in Python 3.13")
    fourteen_bits = EVERY_SAMPLE[EVERY_SAMPLE % 4 == 0]
    theirs = np.frombuffer(audioop.lin2ulaw(fourteen_bits.tobytes(), 2), np.uint8)
    ours = np.frombuffer(mulaw(fourteen_bits), np.uint8)
    positive = fourteen_bits >= 0
    assert (ours[positive] == theirs[positive]).all()
    # On a decision value the recommendation's own code (G.191) takes the inner step, audioop the outer one.
    assert np.abs(ours[~positive].astype(int) - theirs[~positive]).max() <= 1


def tone(frequency_hz: float, rate_hz: int = 22050, seconds: float = 1.0) -> bytes:
    t = np.arange(int(rate_hz * seconds)) / rate_hz
    return (np.sin(2 * np.pi * frequency_hz * t) * 16000).astype("<i2").tobytes()


def heard(audio: bytes) -> NDArray[np.float64]:
    return LEVELS[np.frombuffer(audio, np.uint8)] * 4.0


def said(pcm: bytes, rate_hz: int = 22050) -> bytes:
    audio = TelephoneAudio(rate_hz)
    return audio.feed(pcm) + audio.end()


@pytest.mark.parametrize("rate_hz", [16000, 22050, 24000, 44100])
def test_a_tone_that_a_telephone_carries_is_kept(rate_hz: int) -> None:
    samples = heard(said(tone(1000, rate_hz), rate_hz))
    assert len(samples) == pytest.approx(8000, abs=1)
    spectrum = np.abs(np.fft.rfft(samples[1000:7000] * np.hanning(6000)))
    assert np.argmax(spectrum) * 8000 / 6000 == pytest.approx(1000, abs=2)
    assert np.sqrt(np.mean(samples[1000:7000] ** 2)) == pytest.approx(16000 / np.sqrt(2), rel=0.02)


def test_what_a_telephone_cannot_carry_does_not_come_back_as_an_alias() -> None:
    samples = heard(said(tone(5000)))
    assert np.sqrt(np.mean(samples[200:-200] ** 2)) < 16000 / 1000


SPEECH = tone(700, seconds=0.2) + tone(300, seconds=0.1)
WHOLE = said(SPEECH)


@given(st.lists(st.integers(0, len(SPEECH)), max_size=8))
def test_where_chunks_are_cut_does_not_change_the_audio(cuts: list[int]) -> None:
    audio = TelephoneAudio(22050)
    bounds = [0, *sorted(cuts), len(SPEECH)]
    chunks = [audio.feed(SPEECH[a:b]) for a, b in pairwise(bounds)]
    assert b"".join(chunks) + audio.end() == WHOLE


def test_nothing_becomes_nothing() -> None:
    assert said(b"") == b""
