"""Google's statuses, and how it is asked. The contract suite has the rest."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.tts_worker.providers.google import GoogleSynthesizer
from callbot.tts_worker.providers.google_speech import Headerless
from callbot.tts_worker.providers.google_status import refusal
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from tests.vendors.google_tts import VOICES, GoogleTts
from tests.vendors.speech_tones import is_said
from tests.vendors.tts_vendor import Day

TEXT = "Good evening."


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "refused", False),
        (grpc.StatusCode.PERMISSION_DENIED, "refused", False),
        (grpc.StatusCode.INVALID_ARGUMENT, "bad_request", False),
        (grpc.StatusCode.NOT_FOUND, "unknown_voice", False),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", True),
        (grpc.StatusCode.UNAVAILABLE, "unavailable", True),
        (grpc.StatusCode.ABORTED, "unavailable", True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "too_slow", True),
    ],
)
@pytest.mark.parametrize("details", [None, b"\xff no Status"])
def test_statuses(status: grpc.StatusCode, code: str, retryable: bool, details: bytes | None) -> None:
    trailing = grpc.aio.Metadata(*([("grpc-status-details-bin", details)] if details else []))
    error = refusal(grpc.aio.AioRpcError(status, grpc.aio.Metadata(), trailing, "do not repeat", None))
    assert (error.code, error.retryable) == (code, retryable)
    assert str(error) == f"{code}: {status.name}"


def test_a_header_in_a_stream_is_not_heard() -> None:
    header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\7\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0"
    header += b"data\xff\xff\xff\xff"
    samples = Headerless()
    assert [samples.feed(piece) for piece in (header[:20], header[20:] + b"ab", b"", b"RIFF")] == [
        b"",
        b"ab",
        b"",
        b"RIFF",
    ]
    with pytest.raises(ProviderError, match="wrong_audio"):
        Headerless().feed(header.replace(b"\x40\x1f", b"\x80\x3e") + b"ab")


@pytest_asyncio.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GoogleTts]:
    async with GoogleTts() as vendor:
        for name, value in vendor.environment.items():
            monkeypatch.setenv(name, value)
        yield vendor


async def said(synthesizer: GoogleSynthesizer, name: str = "", language: str = "en-US") -> bytes:
    return b"".join([chunk async for chunk in synthesizer.speak(TEXT, Voice("google", name, language))])


async def test_voices_that_cannot_stream_are_asked_for_whole(vendor: GoogleTts) -> None:
    async with GoogleSynthesizer(Settings()) as synthesizer:
        await synthesizer.warm(Voice("google", "", "en-US"))
        vendor.methods.clear()
        assert is_said(await said(synthesizer, "de-DE-Neural2-F"), TEXT)
        assert is_said(await said(synthesizer, "Kore", "de-DE"), TEXT)
    assert vendor.methods == ["SynthesizeSpeech", "StreamingSynthesize"]
    assert vendor.voices_asked == ["de-DE-Neural2-F", "de-DE-Chirp3-HD-Kore"]
    assert vendor.complaints == []


async def test_streaming_can_be_turned_off(vendor: GoogleTts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOT_GOOGLE_TTS_STREAMING", "false")
    async with GoogleSynthesizer(Settings()) as synthesizer:
        assert is_said(await said(synthesizer), TEXT)
    assert "StreamingSynthesize" not in vendor.methods


async def test_voices_are_told_by_their_full_and_short_names(vendor: GoogleTts) -> None:
    async with GoogleSynthesizer(Settings()) as synthesizer:
        await synthesizer.warm(Voice("google", "", "en-US"))
        told = {voice.voice: voice.language for voice in synthesizer.voices}
    # The speaker of Gemini's, which has no language in its name, is not among them.
    assert told == {
        **{f"google:{name}": name[:5] for name in VOICES if "-" in name},
        "google:Aoede": "und",
        "google:Kore": "und",
    }


async def test_an_unlisted_voice_that_the_vendor_does_not_have(vendor: GoogleTts) -> None:
    async with GoogleSynthesizer(Settings()) as synthesizer:
        await synthesizer.warm(Voice("google", "", "en-US"))
        with pytest.raises(ProviderError, match="unknown_voice"):
            await said(synthesizer, "en-US-Chirp3-HD-Nobody")


async def test_a_lost_connection_is_opened_again_before_it_is_needed(vendor: GoogleTts) -> None:
    async with GoogleSynthesizer(Settings()) as synthesizer:
        await synthesizer.warm(Voice("google", "", "en-US"))
        assert vendor.tcp.accepted == 1
        vendor.tcp.tear_all()
        await vendor.tcp.until_accepted(2)
        assert is_said(await said(synthesizer), TEXT)
        assert vendor.tcp.accepted == 2


async def test_no_refusal_is_taken_for_something_else(vendor: GoogleTts) -> None:
    """The vendor may end a call while a message is on its way, which grpc then tells in the place of why."""
    vendor.day = Day.REFUSED
    async with GoogleSynthesizer(Settings(tts_first_audio_s=20)) as synthesizer:
        codes = set()
        for _ in range(100):
            errors = await asyncio.gather(*[said(synthesizer) for _ in range(8)], return_exceptions=True)
            codes |= {str(error) for error in errors}
    assert codes == {"refused: UNAUTHENTICATED"}


async def test_a_replaced_key_is_read_when_the_old_one_is_refused(vendor: GoogleTts) -> None:
    good = vendor.key()
    vendor.put_key(good.replace("callbot@", "somebody@"))
    async with GoogleSynthesizer(Settings()) as synthesizer:
        with pytest.raises(ProviderError, match="refused"):
            await said(synthesizer)
        vendor.put_key(good)
        vendor.complaints.clear()
        async with asyncio.timeout(10):
            while True:
                try:
                    assert is_said(await said(synthesizer), TEXT)
                    break
                except ProviderError as e:
                    assert e.code == "refused"
                    await asyncio.sleep(0.05)


async def test_tokens_are_not_told(vendor: GoogleTts, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with GoogleSynthesizer(Settings()) as synthesizer:
            await said(synthesizer)
            vendor.day = Day.REFUSED
            with pytest.raises(ProviderError) as raised:
                await said(synthesizer)
    signatures = [token.rpartition(".")[2] for token in vendor.tokens]
    assert signatures
    written = "".join(repr(record.__dict__) for record in caplog.records)
    for told in (str(raised.value), repr(raised.value), repr(raised.value.__context__), written):
        assert not any(signature in told for signature in signatures)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("GOOGLE_APPLICATION_CREDENTIALS", "", "GOOGLE_APPLICATION_CREDENTIALS is not set"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json", "names no file"),
        ("CALLBOT_GOOGLE_TTS_ENDPOINT", "https://texttospeech.googleapis.com", "CALLBOT_GOOGLE_TTS_ENDPOINT"),
    ],
)
async def test_settings_that_it_cannot_work_with(
    vendor: GoogleTts, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=told):
        GoogleSynthesizer(Settings())


async def test_a_file_that_is_no_key_is_refused(vendor: GoogleTts) -> None:
    vendor.put_key("{}")
    async with GoogleSynthesizer(Settings()) as synthesizer:
        with pytest.raises(ProviderError, match="refused: no access token"):
            await said(synthesizer)


async def test_without_credentials_its_packages_are_not_imported() -> None:
    program = """
import sys
from callbot.runtime.errors import SettingsError
from callbot.tts_worker.providers.google import GoogleSynthesizer
from callbot.tts_worker.settings import Settings
try:
    GoogleSynthesizer(Settings())
except SettingsError:
    print([name for name in ("grpc", "google.auth", "google.cloud") if name in sys.modules])
"""
    assert await _run(program, {"GOOGLE_APPLICATION_CREDENTIALS": ""}) == "[]\n"


async def test_it_speaks_on_the_loop_that_services_run_on(vendor: GoogleTts) -> None:
    """uvloop, in a process of its own, with warnings as errors from the start."""
    program = """
import uvloop
from callbot.tts_worker.providers.google import GoogleSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice

async def main():
    async with GoogleSynthesizer(Settings(tts_first_audio_s=10)) as synthesizer:
        for name in ("", "en-US-Neural2-A"):
            pieces = synthesizer.speak("Good evening.", Voice("google", name, "en-US"))
            print(len(b"".join([piece async for piece in pieces])))

uvloop.run(main())
"""
    length = len(TEXT) * 320
    assert await _run(program, vendor.environment) == f"{length}\n{length}\n"


async def _run(program: str, environment: object) -> str:
    assert isinstance(environment, dict)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", program),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        return (await process.communicate())[0].decode()
