"""Providers by name, voices of providers that are not here, and the scripted one."""

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.schemas.text_audio import audible, texts_in
from callbot.tts_worker.providers.piper import PiperSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, open_synthesizer

VOICE = Voice("scripted", "", "en-US")


def test_providers_are_found_by_their_names() -> None:
    assert isinstance(open_synthesizer(Settings(tts="piper")), PiperSynthesizer)
    with pytest.raises(SettingsError, match=r"CALLBOT_TTS=nobody: .*installed: .*piper.*scripted"):
        open_synthesizer(Settings(tts="nobody"))


def test_a_voice_of_another_provider_becomes_the_fallback() -> None:
    assert Voice.wished("piper:joe", "en-US", provider="piper") == Voice("piper", "joe", "en-US")
    assert Voice.wished("elevenlabs:emma", "en-US", provider="piper") == Voice("piper", "", "en-US")


async def test_the_scripted_voice_carries_its_text() -> None:
    settings = Settings(tts="scripted", scripted_ms_per_character=100)
    async with open_synthesizer(settings) as scripted:
        chunks = [chunk async for chunk in scripted.speak("Hello there, caller.", VOICE)]
    assert len(chunks) > 1
    assert b"".join(chunks) == audible("Hello there, caller.", 100)
    assert list(texts_in(b"".join(chunks))) == ["Hello there, caller."]


@pytest.mark.parametrize(
    ("text", "code", "heard"),
    [("[[tts:fail]]", "scripted", 0), ("[[tts:stall]]", "too_slow", 0), ("[[tts:break]] so", "scripted", 1)],
)
async def test_the_scripted_voice_fails_when_asked(text: str, code: str, heard: int) -> None:
    settings = Settings(tts="scripted", tts_first_audio_s=0.01)
    async with open_synthesizer(settings) as scripted:
        chunks = []
        with pytest.raises(ProviderError, match=code):
            async for chunk in scripted.speak(text, VOICE):
                chunks.append(chunk)
    assert min(len(chunks), 1) == heard
