"""How Google is reached: hosts, and what is not begun with."""

from pathlib import Path

import pytest

from callbot.runtime.errors import SettingsError
from callbot.stt_worker.providers.google import GoogleOptions, GoogleRecognizer
from callbot.stt_worker.settings import Settings
from tests.vendors.google_account import write_key
from tests.vendors.google_call import call
from tests.vendors.google_stt import GoogleSpeech


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ({}, "https://speech.googleapis.com"),
        ({"google_stt_location": "eu"}, "https://eu-speech.googleapis.com"),
        ({"google_stt_url": "http://127.0.0.1:99/"}, "http://127.0.0.1:99"),
        ({"google_stt_url": "https://private.example:8443"}, "https://private.example:8443"),
    ],
)
def test_the_host_is_the_locations_or_the_operators(told: dict[str, str], url: str) -> None:
    assert GoogleOptions.model_validate(told).url == url


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("CALLBOT_GOOGLE_STT_URL", "http://speech.example", "must be https"),
        ("CALLBOT_GOOGLE_STT_URL", "speech.example:443", "must be https"),
        ("CALLBOT_GOOGLE_STT_MODEL", "chirp", "does not stream"),
        ("CALLBOT_GOOGLE_STT_API", "v3", "CALLBOT_GOOGLE_STT_API"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json", "names no file"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "", "GOOGLE_APPLICATION_CREDENTIALS is not set"),
    ],
)
async def test_wrong_settings_are_told_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(write_key(tmp_path)))
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=why):
        async with GoogleRecognizer.open(Settings()):
            pass


async def test_another_project_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = GoogleSpeech()
    vendor.project, vendor.location = "somebody-elses", "eu"
    told = {"CALLBOT_GOOGLE_PROJECT": "somebody-elses", "CALLBOT_GOOGLE_STT_LOCATION": "eu"}
    async with vendor, call(vendor.environment, monkeypatch, told) as google:
        google.is_silent(200)
        google.says("hello")
        google.is_silent(200)
        assert await google.words(0) == "hello"
    assert vendor.complaints == []
