"""Deepgram Aura: what only this provider has. The rest is in tests/contract/test_tts_providers.py."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from callbot.runtime.errors import ProviderError
from callbot.tts_worker.providers import deepgram_socket
from callbot.tts_worker.providers.deepgram import DeepgramSynthesizer
from callbot.tts_worker.providers.deepgram_socket import FLUSHES, FLUSHES_PER_S, FlushAllowance
from callbot.tts_worker.providers.deepgram_sockets import LONGEST_PAUSE_S
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from tests.vendors.deepgram_tts import MODELS, DeepgramTts
from tests.vendors.speech_tones import is_said

VOICE = Voice("deepgram", "aura-2-apollo-en", "en-US")


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DeepgramTts]:
    async with DeepgramTts() as vendor:
        for name, value in vendor.environment.items():
            monkeypatch.setenv(name, value)
        yield vendor


@pytest.fixture
async def synthesizer(vendor: DeepgramTts) -> AsyncIterator[DeepgramSynthesizer]:
    async with DeepgramSynthesizer(Settings()) as synthesizer:
        yield synthesizer


async def said(synthesizer: DeepgramSynthesizer, text: str, voice: Voice = VOICE) -> bytes:
    async with aclosing(synthesizer.speak(text, voice)) as chunks:
        return b"".join([chunk async for chunk in chunks])


def test_twenty_flushes_in_a_minute() -> None:
    allowance = FlushAllowance()
    for second in range(FLUSHES):
        assert allowance.left(second) == FLUSHES - second
        allowance.use(second)
    assert allowance.left(FLUSHES) == 0
    assert allowance.left(FLUSHES_PER_S - 0.1) == 0
    assert allowance.left(FLUSHES_PER_S) == 1
    assert allowance.left(FLUSHES_PER_S + FLUSHES) == FLUSHES


async def test_more_sentences_than_a_connection_may_flush(
    vendor: DeepgramTts, synthesizer: DeepgramSynthesizer
) -> None:
    await synthesizer.warm(VOICE)
    opened_in_time = []
    for number in range(2 * FLUSHES + 5):
        before = list(vendor.connections)
        text = f"Sentence {number}."
        assert is_said(await said(synthesizer, text), text)
        opened_in_time.append(vendor.connection_of_last in before)
    assert vendor.complaints == []
    assert all(opened_in_time), "the next connection is there before the last one is used up"


async def test_an_idle_connection_that_the_vendor_closes_is_replaced_before_it_is_needed(
    vendor: DeepgramTts, synthesizer: DeepgramSynthesizer
) -> None:
    assert is_said(await said(synthesizer, "One."), "One.")
    await vendor.until(lambda: len(vendor.connections) == 2)
    await vendor.close_all()
    await vendor.until(lambda: len(vendor.connections) == 3)
    await synthesizer.warm(VOICE)
    before = list(vendor.connections)
    assert is_said(await said(synthesizer, "Two."), "Two.")
    assert vendor.connection_of_last in before


async def test_a_vendor_that_was_away_for_hours_has_connections_again(
    vendor: DeepgramTts, synthesizer: DeepgramSynthesizer
) -> None:
    assert is_said(await said(synthesizer, "One."), "One.")
    sockets = synthesizer._pools[VOICE.name]
    sockets._failures = 5000
    assert sockets.pause_s == LONGEST_PAUSE_S


async def test_audio_without_an_end_is_ended(
    vendor: DeepgramTts, synthesizer: DeepgramSynthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "A sentence that lasts for a while."
    monkeypatch.setattr(deepgram_socket, "MAX_AUDIO_BYTES", 2000)
    with pytest.raises(ProviderError, match="wrong_audio"):
        await said(synthesizer, text)
    monkeypatch.undo()
    assert is_said(await said(synthesizer, text), text)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (1008, "bad_request"),
        (1009, "bad_request"),
        (1011, "unavailable"),
        (1000, "unavailable"),
    ],
)
async def test_close_codes(
    vendor: DeepgramTts, synthesizer: DeepgramSynthesizer, code: int, error: str
) -> None:
    vendor.closes_with = code
    with pytest.raises(ProviderError) as e:
        await said(synthesizer, "One.")
    assert (e.value.code, e.value.retryable) == (error, error == "unavailable")
    # A connection may have died while it was idle: only then is there a second try.
    assert len(vendor.asked) == (2 if error == "unavailable" else 1)


async def test_a_language_gets_a_voice_of_its_own(
    vendor: DeepgramTts, synthesizer: DeepgramSynthesizer
) -> None:
    for language, model in (("en-GB", "aura-2-thalia-en"), ("es-MX", "aura-2-celeste-es")):
        assert is_said(await said(synthesizer, "Sí.", Voice("deepgram", "", language)), "Sí.")
        assert vendor.voices_asked[-1] == model
    with pytest.raises(ProviderError) as e:
        await said(synthesizer, "はい。", Voice("deepgram", "", "ja-JP"))
    assert (e.value.code, e.value.retryable) == ("language_unknown", False)
    assert {voice.name for voice in synthesizer.voices} == set(MODELS)


async def test_letter_case_does_not_count_in_a_name(
    vendor: DeepgramTts, synthesizer: DeepgramSynthesizer
) -> None:
    voice = Voice("deepgram", "AURA-2-Apollo-en", "en-US")
    assert is_said(await said(synthesizer, "Hello.", voice), "Hello.")
    assert vendor.voices_asked == [VOICE.name]
    assert synthesizer.model_of(voice) == "aura-2"
