"""PlayHT's adapter: only for a server of the operator's, since the vendor's own has ended."""

from collections.abc import AsyncIterator

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.tts_worker.providers.playht import PlayHTSynthesizer, refused
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from tests.vendors.playht_tts import JENNIFER, LARRY, PlayHTTts
from tests.vendors.speech_tones import is_said
from tests.vendors.tts_vendor import KEY, Day


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PlayHTTts]:
    async with PlayHTTts() as vendor:
        for name, value in vendor.environment.items():
            monkeypatch.setenv(name, value)
        yield vendor


def test_without_a_server_of_the_operators_it_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLAYHT_BASE_URL", raising=False)
    monkeypatch.setenv("PLAYHT_API_KEY", KEY)
    with pytest.raises(SettingsError, match="PLAYHT_BASE_URL is not set: PlayHT's own service has ended"):
        PlayHTSynthesizer(Settings())


def test_a_server_without_a_key_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYHT_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("PLAYHT_API_KEY", raising=False)
    with pytest.raises(SettingsError, match="PLAYHT_API_KEY is not set"):
        PlayHTSynthesizer(Settings())


@pytest.mark.parametrize("with_header", [False, True], ids=["raw", "wav"])
async def test_mulaw_comes_with_and_without_a_header(vendor: PlayHTTts, with_header: bool) -> None:
    vendor.with_header = with_header
    async with PlayHTSynthesizer(Settings()) as synthesizer:
        for name in (LARRY, ""):
            speech = synthesizer.speak("Hello there.", Voice("playht", name, "en-US"))
            assert is_said(b"".join([chunk async for chunk in speech]), "Hello there.")
    assert vendor.voices_asked == [LARRY, JENNIFER] and vendor.complaints == []


async def test_the_deadline_is_from_when_the_text_is_asked_for(vendor: PlayHTTts) -> None:
    vendor.day = Day.SLOW
    async with PlayHTSynthesizer(Settings(tts_first_audio_s=0.1)) as synthesizer:
        with pytest.raises(ProviderError, match="too_slow"):
            await anext(synthesizer.speak("Hello.", Voice("playht", "", "en")))
        await vendor.until(lambda: vendor.given_up == 1)


@pytest.mark.parametrize(
    ("status", "word", "code"),
    [
        (403, "FORBIDDEN", "refused"),
        (403, "OUT_OF_CREDITS", "out_of_quota"),
        (400, "VOICE_NOT_FOUND", "unknown_voice"),
        (400, "BAD_REQUEST", "bad_request"),
        (429, "TOO_MANY_REQUESTS", "busy"),
        (502, "", "unavailable"),
    ],
)
def test_what_an_error_means(status: int, word: str, code: str) -> None:
    assert refused(status, {"error_id": word, "error_message": "m"}, None).code == code
