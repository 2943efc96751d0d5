"""OpenAI-compatible speech: what only it has. The rest is in tests/contract/test_tts_providers.py."""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.tts_worker.providers.openai_speech import OpenAISpeechOptions, OpenAISynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from tests.vendors.openai_tts import OpenAITts
from tests.vendors.speech_tones import is_said
from tests.vendors.tts_vendor import Day

VOICE = Voice("openai", "", "en-US")
TEXT = "A table for four."


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAITts]:
    async with OpenAITts() as vendor:
        for name, value in vendor.environment.items():
            monkeypatch.setenv(name, value)
        yield vendor


async def said(synthesizer: OpenAISynthesizer, voice: Voice = VOICE) -> bytes:
    async with aclosing(synthesizer.speak(TEXT, voice)) as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize(
    ("content_type", "rate_hz"),
    [
        ("audio/pcm", 24000),
        ("audio/pcm;rate=16000", 16000),
        ("audio/L16; rate=22050; channels=1", 22050),
        ("application/octet-stream", 24000),
    ],
)
async def test_the_rate_that_the_server_tells(vendor: OpenAITts, content_type: str, rate_hz: int) -> None:
    vendor.content_type, vendor.rate_hz = content_type, rate_hz
    async with OpenAISynthesizer(Settings()) as synthesizer:
        assert is_said(await said(synthesizer), TEXT)


async def test_a_server_of_another_rate_that_does_not_tell(
    vendor: OpenAITts, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.rate_hz = 16000
    monkeypatch.setenv("CALLBOT_OPENAI_TTS_RATE_HZ", "16000")
    async with OpenAISynthesizer(Settings()) as synthesizer:
        assert is_said(await said(synthesizer), TEXT)


async def test_what_is_asked_for(vendor: OpenAITts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOT_OPENAI_TTS_INSTRUCTIONS", "Kindly.")
    monkeypatch.setenv("CALLBOT_OPENAI_TTS_SPEED", "1.1")
    monkeypatch.setenv("CALLBOT_OPENAI_TTS_VOICE", "marin")
    async with OpenAISynthesizer(Settings()) as synthesizer:
        assert is_said(await said(synthesizer), TEXT)
    assert (vendor.complaints, vendor.voices_asked) == ([], ["marin"])
    assert vendor.bodies[0]["instructions"] == "Kindly."
    assert vendor.bodies[0]["speed"] == 1.1


async def test_letter_case_does_not_count_in_a_name_that_is_known(vendor: OpenAITts) -> None:
    async with OpenAISynthesizer(Settings()) as synthesizer:
        for name in ("Ballad", "BALLAD", "Of-My-Server"):
            with suppress(ProviderError):
                await said(synthesizer, Voice("openai", name, "en-US"))
    assert [body["voice"] for body in vendor.bodies] == ["ballad", "ballad", "Of-My-Server"]


async def test_a_voice_of_ones_own_is_asked_for_by_its_id(vendor: OpenAITts) -> None:
    async with OpenAISynthesizer(Settings()) as synthesizer:
        assert is_said(await said(synthesizer, Voice("openai", "voice_1234", "en-US")), TEXT)
    assert vendor.bodies[0]["voice"] == {"id": "voice_1234"}


async def test_a_connection_that_died_while_idle_is_replaced(vendor: OpenAITts) -> None:
    async with OpenAISynthesizer(Settings()) as synthesizer:
        assert is_said(await said(synthesizer), TEXT)
        vendor.dies_when_asked = 1
        assert is_said(await said(synthesizer), TEXT)
    assert len(vendor.connections) == 2


async def test_a_speech_that_was_given_up_leaves_no_cold_start_behind(vendor: OpenAITts) -> None:
    async with OpenAISynthesizer(Settings()) as synthesizer:
        vendor.day = Day.STALLS
        async with aclosing(synthesizer.speak(TEXT, VOICE)) as chunks:
            assert await anext(chunks)
        vendor.day = Day.GOOD
        await synthesizer.warmth.ready.wait()
        assert is_said(await said(synthesizer), TEXT)
    assert len(vendor.connections) == 2


@pytest.mark.parametrize(
    ("environment", "wrong"),
    [
        ({"OPENAI_API_KEY": "sk-1"}, "CALLBOT_OPENAI_TTS_MODEL is not set"),
        ({"CALLBOT_OPENAI_TTS_MODEL": "m"}, "OPENAI_API_KEY is not set"),
        ({"CALLBOT_OPENAI_TTS_MODEL": "m", "OPENAI_BASE_URL": "somewhere"}, "no http or https URL"),
        ({"CALLBOT_OPENAI_TTS_MODEL": "m", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, ""),
        ({"CALLBOT_OPENAI_TTS_MODEL": "m", "CALLBOT_OPENAI_TTS_API_KEY": "sk-1"}, ""),
    ],
)
def test_the_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wrong: str) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if wrong:
        with pytest.raises(SettingsError, match=wrong):
            OpenAISynthesizer(Settings())
    else:
        OpenAISynthesizer(Settings())
        assert "sk-1" not in repr(OpenAISpeechOptions())
