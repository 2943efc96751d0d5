"""How Google is reached: tokens, hosts, and what is not begun with."""

import asyncio
from pathlib import Path

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.stt_worker.providers import google_access
from callbot.stt_worker.providers.google import GoogleOptions, GoogleRecognizer
from callbot.stt_worker.providers.google_access import GoogleAccess
from callbot.stt_worker.settings import Settings
from tests.vendors.google_account import write_key, wrong_token
from tests.vendors.google_call import call
from tests.vendors.google_stt import GoogleSpeech


async def test_a_token_is_signed_before_it_is_needed_and_names_the_project(tmp_path: Path) -> None:
    access = GoogleAccess(write_key(tmp_path))
    async with access.renewing():
        await access.ready()
        assert wrong_token(dict(access.metadata())["authorization"]) == ""
        assert access.project == "tests"


async def test_a_token_is_renewed_ahead_of_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_access, "RETRY_AFTER_S", 0.01)
    monkeypatch.setattr(google_access, "AHEAD_S", 7200.0)
    signed = asyncio.Semaphore(0)
    token = google_access._Account.token
    loop = asyncio.get_running_loop()

    def counted(account: google_access._Account) -> tuple[google_access.Metadata, float]:
        loop.call_soon_threadsafe(signed.release)
        metadata, _ = token(account)
        return metadata, 0.1

    monkeypatch.setattr(google_access._Account, "token", counted)
    access = GoogleAccess(write_key(tmp_path))
    async with asyncio.timeout(10), access.renewing():
        for _ in range(3):
            await signed.acquire()
        await access.ready()


async def test_a_file_that_is_no_key_is_told_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text('{"type": "service_account", "private_key": "do-not-repeat-me"}')
    access = GoogleAccess(file)
    async with access.renewing():
        with pytest.raises(ProviderError) as caught:
            await access.ready()
    assert (caught.value.code, caught.value.retryable) == ("refused", False)
    assert "do-not-repeat-me" not in str(caught.value)


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
