"""Polly's voices and refusals, and what is asked of it. The contract suite has the rest."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.tts_worker.providers.polly import PollySynthesizer
from callbot.tts_worker.providers.polly_errors import error_of
from callbot.tts_worker.providers.polly_voices import PollyVoice, PollyVoices, chosen, read_voices
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from tests.vendors.polly_tts import VOICES, PollyTts
from tests.vendors.speech_tones import is_said
from tests.vendors.tts_vendor import KEY, Day

KNOWN = PollyVoices(read_voices({"Voices": VOICES}))
AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TEXT = "Good evening."


@pytest.mark.parametrize(
    ("name", "language", "id", "engine", "told"),
    [
        ("", "en-US", "Joanna", "neural", ""),
        ("", "en", "Joanna", "neural", ""),
        ("", "en-NZ", "Joanna", "neural", ""),
        ("", "de-CH", "Vicki", "neural", ""),
        ("", "tr-TR", "Filiz", "standard", ""),
        # Kajal's own language is Indian English.
        ("", "hi-IN", "Kajal", "neural", "hi-IN"),
        ("", "en-IN", "Kajal", "neural", ""),
        # Lupe, usual for Spanish of the Americas, is not listed here.
        ("", "es-US", "Lucia", "neural", ""),
        ("matthew", "en-US", "Matthew", "neural", ""),
        ("Ivy", "en-US", "Ivy", "standard", ""),
        ("Joanna", "de-DE", "Joanna", "neural", ""),
    ],
)
def test_voices_and_their_engines(name: str, language: str, id: str, engine: str, told: str) -> None:
    voice = chosen(name, language, usual="", engine="neural", known=KNOWN)
    assert (voice.id, voice.engine("neural"), voice.told_language(language)) == (id, engine, told)


def test_engines_that_a_voice_has_not() -> None:
    assert PollyVoice("A", engines=("standard", "generative")).engine("neural") == "generative"
    assert PollyVoice("A", engines=("standard", "generative")).engine("standard") == "standard"
    assert PollyVoice("A", engines=("long-form",)).engine("neural") == "long-form"


def test_names_are_taken_as_they_are_until_voices_are_listed() -> None:
    assert chosen("Amy", "en-GB", usual="", engine="neural", known=None) == PollyVoice("Amy")
    assert chosen("", "fr", usual="", engine="neural", known=None).id == "Lea"
    assert chosen("", "fr", usual="Remi", engine="neural", known=None).id == "Remi"


@pytest.mark.parametrize("known", [KNOWN, None])
def test_no_voice_for_a_language(known: PollyVoices | None) -> None:
    with pytest.raises(ProviderError, match="unknown_voice"):
        chosen("", "sw-KE", usual="", engine="neural", known=known)


@pytest.mark.parametrize(
    ("status", "kind", "body", "code", "retryable"),
    [
        (403, "UnrecognizedClientException", b"", "refused", False),
        (403, "AccessDeniedException", b"", "refused", False),
        (403, "ExpiredTokenException", b"", "refused", False),
        (403, "InvalidSignatureException", b"", "refused", False),
        (400, "MissingAuthenticationToken", b"", "refused", False),
        (400, "ThrottlingException:http://internal.amazon.com/coral/x/", b"", "busy", True),
        (429, "", b"", "busy", True),
        (402, "ServiceQuotaExceededException", b"", "out_of_quota", False),
        (400, "ValidationException", b"{\"message\":\"Value 'x' at 'voiceId'\"}", "unknown_voice", False),
        (400, "ValidationException", b"Value at 'engine'", "bad_request", False),
        (400, "com.amazonaws.polly#TextLengthExceededException", b"", "bad_request", False),
        (400, "EngineNotSupportedException", b"", "bad_request", False),
        (500, "ServiceFailureException", b"", "unavailable", True),
        (503, "", b"<html>", "unavailable", True),
        (301, "", b"", "bad_request", False),
    ],
)
def test_refusals(status: int, kind: str, body: bytes, code: str, retryable: bool) -> None:
    error = error_of(status, {"x-amzn-ErrorType": kind}, body, signed_at=AT)
    assert (error.code, error.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("behind_s", "code"), [(3600, "clock_is_off"), (-900, "clock_is_off"), (60, "refused")]
)
def test_a_wrong_clock_is_told_from_a_wrong_key(behind_s: int, code: str) -> None:
    date = format_datetime(AT + timedelta(seconds=behind_s), usegmt=True)
    headers = {"x-amzn-ErrorType": "InvalidSignatureException", "Date": date}
    error = error_of(403, headers, b"", signed_at=AT)
    assert error.code == code
    assert (f"clock is {behind_s} s behind" in str(error)) == (code == "clock_is_off")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in PollyTts().environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_POLLY", "")
    return Settings()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("AWS_ACCESS_KEY_ID", "", "AWS_ACCESS_KEY_ID is not set"),
        ("AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY is not set"),
        ("AWS_REGION", "", "AWS_REGION is not set"),
        ("AWS_REGION", "evil.example/", "AWS_REGION"),
        ("AWS_ENDPOINT_URL_POLLY", "http://polly.example", "must be an https URL"),
        ("CALLBOT_POLLY_ENGINE", "loud", "CALLBOT_POLLY_ENGINE"),
    ],
)
def test_settings_that_it_cannot_work_with(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    PollySynthesizer(settings)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=told) as raised:
        PollySynthesizer(settings)
    assert KEY not in repr(raised.value)


async def said(synthesizer: PollySynthesizer, name: str, language: str) -> bytes:
    return b"".join([chunk async for chunk in synthesizer.speak(TEXT, Voice("polly", name, language))])


def point_at(vendor: PollyTts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in vendor.environment.items():
        monkeypatch.setenv(name, value)


async def test_each_text_is_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async with PollyTts() as vendor:
        point_at(vendor, monkeypatch)
        async with PollySynthesizer(Settings()) as synthesizer:
            await synthesizer._listing.known()
            assert {voice.voice for voice in synthesizer.voices} == {f"polly:{v['Id']}" for v in VOICES}
            assert is_said(await said(synthesizer, "", "hi-IN"), TEXT)
            assert is_said(await said(synthesizer, "ivy", "en-US"), TEXT)
        both = {"OutputFormat": "mulaw", "SampleRate": "8000", "Text": TEXT, "TextType": "text"}
        assert vendor.bodies == [
            {**both, "VoiceId": "Kajal", "Engine": "neural", "LanguageCode": "hi-IN"},
            {**both, "VoiceId": "Ivy", "Engine": "standard"},
        ]
        assert vendor.complaints == []


async def test_a_connection_that_was_dead_is_replaced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with PollyTts() as vendor:
        point_at(vendor, monkeypatch)
        async with PollySynthesizer(Settings()) as synthesizer:
            vendor.unanswered = 1
            assert is_said(await said(synthesizer, "", "en-US"), TEXT)
            vendor.unanswered = 2
            with pytest.raises(ProviderError, match="unavailable"):
                await said(synthesizer, "", "en-US")
            assert vendor.unanswered == 0


async def test_after_a_speech_was_stopped_another_connection_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with PollyTts() as vendor:
        point_at(vendor, monkeypatch)
        async with PollySynthesizer(Settings()) as synthesizer:
            await synthesizer.warm(Voice("polly", "", "en-US"))
            vendor.day = Day.STALLS
            speech = synthesizer.speak(TEXT, Voice("polly", "", "en-US"))
            assert await anext(speech)
            vendor.day = Day.GOOD
            await speech.aclose()
            async with asyncio.timeout(10):
                await synthesizer._requests._kept.ready.wait()
            before = list(vendor.connections)
            assert is_said(await said(synthesizer, "", "en-US"), TEXT)
            assert vendor.connection_of_last in before


async def test_a_wrong_clock_costs_one_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with PollyTts() as vendor:
        point_at(vendor, monkeypatch)
        vendor.clock_ahead = timedelta(hours=1)
        async with PollySynthesizer(Settings()) as synthesizer:
            with caplog.at_level(logging.ERROR):
                with pytest.raises(ProviderError, match="clock_is_off"):
                    await synthesizer._listing.known()
                assert is_said(await said(synthesizer, "", "en-US"), TEXT)
        assert [record.message for record in caplog.records] == [
            "this machine's clock is off: AWS takes no signature by it"
        ]
        assert vendor.complaints == []


async def test_voices_that_are_not_known_yet_are_refused_by_the_vendor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with PollyTts() as vendor:
        point_at(vendor, monkeypatch)
        async with PollySynthesizer(Settings()) as synthesizer:
            synthesizer._listing.latest = None
            with pytest.raises(ProviderError, match="unknown_voice"):
                await said(synthesizer, "Nobody", "en-US")
        assert vendor.voices_asked == ["Nobody"]
