"""ElevenLabs' adapter against a server that is as strict as the vendor's description."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.tts_worker.providers import socket_pool
from callbot.tts_worker.providers.dialect import ConnectionGone
from callbot.tts_worker.providers.elevenlabs import ElevenLabsOptions, ElevenLabsSynthesizer
from callbot.tts_worker.providers.elevenlabs_wire import (
    AT_ONCE,
    MultiContext,
    language_code,
    refused,
    told_off,
)
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from tests.vendors.elevenlabs_tts import ALICE, GEORGE, ElevenLabsTts
from tests.vendors.speech_tones import is_said
from tests.vendors.tts_vendor import KEY, Day

Open = Callable[..., AbstractAsyncContextManager[ElevenLabsSynthesizer]]
VOICE = Voice("elevenlabs", ALICE, "en-US")


@pytest.fixture
async def vendor() -> AsyncIterator[ElevenLabsTts]:
    async with ElevenLabsTts() as vendor:
        yield vendor


@pytest.fixture
def opened(vendor: ElevenLabsTts, monkeypatch: pytest.MonkeyPatch) -> Open:
    def opened(within_s: float = 20.0, **env: str) -> ElevenLabsSynthesizer:
        for name, value in {**vendor.environment, **env}.items():
            monkeypatch.setenv(name, value)
        return ElevenLabsSynthesizer(Settings(tts_first_audio_s=within_s))

    return opened


async def spoken(synthesizer: ElevenLabsSynthesizer, text: str, voice: Voice = VOICE) -> bytes:
    return b"".join([chunk async for chunk in synthesizer.speak(text, voice)])


async def failure(synthesizer: ElevenLabsSynthesizer, text: str = "Hello.", voice: Voice = VOICE) -> str:
    with pytest.raises(ProviderError) as caught:
        await spoken(synthesizer, text, voice)
    return caught.value.code


async def test_a_short_text_without_a_full_stop_is_spoken(vendor: ElevenLabsTts, opened: Open) -> None:
    async with opened() as synthesizer:
        assert is_said(await spoken(synthesizer, "one moment"), "one moment")
    assert vendor.complaints == []


async def test_an_idle_connection_is_kept_alive(vendor: ElevenLabsTts, opened: Open) -> None:
    async with opened(CALLBOT_ELEVENLABS_TTS_INACTIVITY_S="1") as synthesizer:
        await synthesizer.warm(VOICE)
        await vendor.until(lambda: vendor.kept_alive >= 4)
        assert is_said(await spoken(synthesizer, "Still here."), "Still here.")
        assert len(vendor.queries) == 1
    assert vendor.complaints == []


async def test_a_connection_that_ends_is_open_again_before_a_text_needs_it(
    vendor: ElevenLabsTts, opened: Open
) -> None:
    async with opened() as synthesizer:
        assert is_said(await spoken(synthesizer, "Hello."), "Hello.")
        [first] = vendor.sockets
        first.abort()
        await vendor.until(lambda: bool(vendor.sockets) and first not in vendor.sockets)
        assert is_said(await spoken(synthesizer, "Hello again."), "Hello again.")
        assert len(vendor.queries) == 2


async def test_a_connection_that_died_unseen_is_replaced_once(vendor: ElevenLabsTts, opened: Open) -> None:
    async with opened() as synthesizer:
        await synthesizer.warm(VOICE)
        vendor.dies_at_texts = 1
        assert is_said(await spoken(synthesizer, "Hello."), "Hello.")
        vendor.dies_at_texts = 2
        assert await failure(synthesizer) == "unavailable"
        assert vendor.dies_at_texts == 0


async def test_many_texts_at_once_have_connections_enough(vendor: ElevenLabsTts, opened: Open) -> None:
    texts = [f"This is text {n}." for n in range(3 * AT_ONCE)]
    async with opened() as synthesizer:
        said = await asyncio.gather(*[spoken(synthesizer, text) for text in texts])
        assert all(is_said(audio, text) for audio, text in zip(said, texts, strict=True))
    assert vendor.complaints == []


async def test_texts_that_were_cut_off_do_not_use_up_the_contexts(
    vendor: ElevenLabsTts, opened: Open
) -> None:
    """What was flushed is spoken on at the vendor, and has its place there until its end."""
    async with opened() as synthesizer:
        vendor.day = Day.STALLS
        for n in range(3 * AT_ONCE):
            async with aclosing(synthesizer.speak(f"This is text {n}.", VOICE)) as speech:
                assert await anext(speech)
        await vendor.until(lambda: vendor.given_up == 3 * AT_ONCE)
        vendor.day = Day.GOOD
        assert is_said(await spoken(synthesizer, "And now this."), "And now this.")
    assert vendor.complaints == []


async def test_a_text_is_cut_off_while_others_go_on(vendor: ElevenLabsTts, opened: Open) -> None:
    async with opened() as synthesizer:
        await synthesizer.warm(VOICE)
        cut_off = synthesizer.speak("Not this one to its end.", VOICE)
        other = asyncio.create_task(spoken(synthesizer, "This one to its end."))
        await anext(cut_off)
        await cut_off.aclose()
        assert is_said(await other, "This one to its end.")
        assert len(vendor.queries) == 1


async def test_the_accounts_limit_is_said_as_busy(vendor: ElevenLabsTts, opened: Open) -> None:
    vendor.generating_at_once = 0
    async with opened() as synthesizer:
        assert await failure(synthesizer) == "busy"


@pytest.mark.parametrize("name", [ALICE, "alice"], ids=["handshake", "search"])
async def test_whatever_hangs_the_deadline_holds(vendor: ElevenLabsTts, opened: Open, name: str) -> None:
    async with opened(0.2) as synthesizer:
        vendor.let_in.clear()
        assert await failure(synthesizer, voice=Voice("elevenlabs", name, "en")) == "too_slow"


@pytest.mark.parametrize(
    ("model", "language", "code"),
    [
        ("eleven_flash_v2_5", "de-DE", "de"),
        ("eleven_flash_v2_5", "nb-NO", "no"),
        ("eleven_flash_v2_5", "cy", ""),
        ("eleven_multilingual_v2", "de-DE", ""),
        ("eleven_v3", "ja", "ja"),
    ],
)
def test_the_language_is_told_to_models_that_take_it(model: str, language: str, code: str) -> None:
    assert language_code(model, language) == code


async def test_each_voice_and_language_has_its_connection(vendor: ElevenLabsTts, opened: Open) -> None:
    async with opened() as synthesizer:
        for name, language in [(ALICE, "en-US"), (ALICE, "en-GB"), (ALICE, "de-DE"), (GEORGE, "de-DE")]:
            await spoken(synthesizer, "Hello.", Voice("elevenlabs", name, language))
        assert [query["language_code"] for query in vendor.queries] == ["en", "de", "de"]
    assert vendor.voices_asked == [ALICE, ALICE, ALICE, GEORGE]


async def test_a_model_without_websockets_speaks_over_http(vendor: ElevenLabsTts, opened: Open) -> None:
    async with opened(CALLBOT_ELEVENLABS_TTS_MODEL="eleven_v3") as synthesizer:
        await synthesizer.warm(VOICE)
        assert is_said(await spoken(synthesizer, "Hello."), "Hello.")
    assert vendor.queries == [] and vendor.complaints == []


async def test_a_handshake_that_is_refused_tells_when_to_come_again(
    vendor: ElevenLabsTts, opened: Open
) -> None:
    vendor.day = Day.BUSY_FOR
    async with opened() as synthesizer:
        with pytest.raises(ProviderError) as caught:
            await spoken(synthesizer, "Hello.")
    assert (caught.value.code, caught.value.retry_after_s) == ("busy", 7)
    # aiohttp's own error has the request's headers.
    assert caught.value.__cause__ is None and caught.value.__context__ is None


async def test_calls_that_begin_together_find_connections(vendor: ElevenLabsTts, opened: Open) -> None:
    calls = 3 * AT_ONCE
    async with opened() as synthesizer:
        for _ in range(calls):
            await synthesizer.warm(VOICE)
        await vendor.until(lambda: len(vendor.sockets) >= 3)
        await asyncio.gather(*[spoken(synthesizer, f"Hello, caller {n}.") for n in range(calls)])
        assert len(vendor.queries) <= 4


@pytest.mark.parametrize("day", [Day.SLOW, Day.STALLS])
async def test_a_connection_that_owes_audio_gets_no_more_texts(
    vendor: ElevenLabsTts, opened: Open, day: Day
) -> None:
    async with opened(0.2) as synthesizer:
        await synthesizer.warm(VOICE)
        [silent] = vendor.sockets
        vendor.day = day
        assert await failure(synthesizer, "Hello there, caller.") == "too_slow"
        vendor.day = Day.GOOD
        await vendor.until(lambda: bool(vendor.sockets) and silent not in vendor.sockets)
        assert is_said(await spoken(synthesizer, "Hello."), "Hello.")


async def test_a_context_that_the_vendor_ended_is_not_used(vendor: ElevenLabsTts, opened: Open) -> None:
    async with opened() as synthesizer:
        await synthesizer.warm(VOICE)
        [connection] = vendor.sockets
        await vendor.until(lambda: len(connection.contexts) == 1)
        [waiting] = connection.contexts
        await connection.end(waiting)
        await vendor.until(lambda: len(connection.contexts) == 1)
        assert is_said(await spoken(synthesizer, "Hello."), "Hello.")
    assert vendor.complaints == []


async def test_what_nobody_has_used_for_long_is_closed(
    vendor: ElevenLabsTts, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(CALLBOT_ELEVENLABS_TTS_INACTIVITY_S="1") as synthesizer:
        await synthesizer.warm(VOICE)
        monkeypatch.setattr(socket_pool, "WANTED_FOR_S", 0.0)
        await vendor.until(lambda: not vendor.sockets)
        assert len(vendor.queries) == 1


@pytest.mark.parametrize(
    ("word", "code", "retryable"),
    [
        ("quota_exceeded", "out_of_quota", False),
        ("invalid_api_key", "refused", False),
        ("voice_not_found", "unknown_voice", False),
        ("voice_access_denied", "unknown_voice", False),
        ("too_many_concurrent_requests", "busy", True),
        ("max_active_conversations", "busy", True),
        ("max_character_limit_exceeded", "bad_request", False),
        ("something_new", "unavailable", True),
        ("", "unavailable", True),
    ],
)
def test_what_an_error_message_means(word: str, code: str, retryable: bool) -> None:
    error = told_off(word, 1008)
    assert isinstance(error, ProviderError)
    assert (error.code, error.retryable) == (code, retryable)


def test_inactivity_is_no_error_of_a_text() -> None:
    assert isinstance(told_off("input_timeout_exceeded", 1008), ConnectionGone)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"detail": {"status": "quota_exceeded", "message": "m"}}, "out_of_quota"),
        (401, {"detail": {"status": "invalid_api_key", "message": "m"}}, "refused"),
        (403, None, "refused"),
        (400, {"detail": {"status": "voice_not_found"}}, "unknown_voice"),
        (403, {"detail": {"status": "voice_access_denied"}}, "unknown_voice"),
        (404, {"detail": "Not Found"}, "unknown_voice"),
        (422, {"detail": [{"loc": ["body"], "msg": "m"}]}, "bad_request"),
        (429, {"detail": {"code": "rate_limit_exceeded"}}, "busy"),
        (503, "text", "unavailable"),
    ],
)
def test_what_a_status_means(status: int, body: object, code: str) -> None:
    assert refused(status, body, None).code == code


@pytest.mark.parametrize(
    ("closed_with", "code"),
    [(1000, "broken_off"), (1008, "unavailable"), (1009, "bad_request"), (1011, "unavailable")],
)
def test_what_a_close_code_means(closed_with: int, code: str) -> None:
    assert MultiContext().closed(closed_with).code == code


@pytest.mark.parametrize(
    "end", ['{"isFinal": true, "contextId": "c1"}', '{"is_final": true, "contextId": "c1"}']
)
def test_both_spellings_of_the_end_are_understood(end: str) -> None:
    heard = MultiContext().heard(end)
    assert (heard.context, heard.over, heard.audio) == ("c1", True, b"")


def test_settings(opened: Open) -> None:
    with pytest.raises(SettingsError, match="ELEVENLABS_API_KEY is not set"):
        opened(ELEVENLABS_API_KEY="")
    with pytest.raises(SettingsError) as caught:
        opened(ELEVENLABS_API_KEY=KEY, ELEVENLABS_BASE_URL=f"nonsense-{KEY}")
    assert "ELEVENLABS_BASE_URL" in str(caught.value) and KEY not in str(caught.value)
    assert KEY not in repr(ElevenLabsOptions(api_key=KEY, base_url="http://127.0.0.1"))
