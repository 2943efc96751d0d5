"""The scripted voice, the names of voices, and which providers a worker's settings give."""

import logging

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.guard import LocalGuard
from callbot.schemas.text_audio import audible, texts_in
from callbot.tts_worker.opening import auto_order, open_synthesizer
from callbot.tts_worker.providers.scripted import ScriptedSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info

VOICE = Voice("scripted", "", "en-US")


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has."""
    for name in ("ELEVENLABS_API_KEY", "CARTESIA_API_KEY", "DEEPGRAM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)


async def test_providers_are_found_by_their_names() -> None:
    with pytest.raises(SettingsError, match=r"CALLBOT_TTS=nobody: .*installed: .*piper.*scripted"):
        async with open_synthesizer(Settings(tts="scripted,nobody"), LocalGuard):
            pass


async def test_one_that_cannot_be_used_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with open_synthesizer(Settings(tts="elevenlabs, scripted"), LocalGuard) as chain:
        assert [info.voice for info in chain.voices] == ["piper:joe"]
    [said] = [vars(record) for record in caplog.records if record.msg == "providers"]
    assert said["usable"] == "scripted" and said["unusable"].startswith("elevenlabs: ")
    with pytest.raises(SettingsError, match="elevenlabs"):
        async with open_synthesizer(Settings(tts="elevenlabs"), LocalGuard):
            pass


def test_without_a_name_the_local_voice_is_last_and_the_scripted_one_is_not_there() -> None:
    assert auto_order()[0] == "elevenlabs" and auto_order()[-1] == "piper"
    assert "scripted" not in auto_order()


def test_a_bots_voice_is_a_provider_and_a_name() -> None:
    assert Voice.of_bot("piper:joe", "en-US") == Voice("piper", "joe", "en-US")
    assert Voice.of_bot("google:en-US-Chirp3-HD-Leda", "en-US").in_bot == "google:en-US-Chirp3-HD-Leda"


@pytest.mark.parametrize(
    ("name", "voice_id", "voice"),
    [
        ("joe", "", "elevenlabs:joe"),
        ("Emma", "21m00T", "elevenlabs:Emma"),
        ("Emma - calm", "21m00T", "elevenlabs:21m00T"),
    ],
)
def test_a_name_that_no_bot_can_have_is_known_by_its_id(name: str, voice_id: str, voice: str) -> None:
    info = voice_info("elevenlabs", name, "en-US", voice_id=voice_id)
    assert (info.voice, info.name, info.id) == (voice, name, voice_id)


async def test_the_scripted_voice_carries_its_text() -> None:
    async with ScriptedSynthesizer(Settings(scripted_ms_per_character=100)) as scripted:
        chunks = [chunk async for chunk in scripted.speak("Hello there, caller.", VOICE)]
    assert len(chunks) > 1
    assert b"".join(chunks) == audible("Hello there, caller.", 100)
    assert list(texts_in(b"".join(chunks))) == ["Hello there, caller."]


@pytest.mark.parametrize(
    ("text", "code", "heard"),
    [("[[tts:fail]]", "scripted", 0), ("[[tts:stall]]", "too_slow", 0), ("[[tts:break]] so", "scripted", 1)],
)
async def test_the_scripted_voice_fails_when_asked(text: str, code: str, heard: int) -> None:
    async with ScriptedSynthesizer(Settings(tts_first_audio_s=0.01)) as scripted:
        chunks = []
        with pytest.raises(ProviderError, match=code):
            async for chunk in scripted.speak(text, VOICE):
                chunks.append(chunk)
    assert min(len(chunks), 1) == heard
