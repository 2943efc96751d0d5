"""Cartesia's adapter against a server that is as strict as the vendor's description."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.tts_worker.providers.cartesia import CartesiaSynthesizer
from callbot.tts_worker.providers.cartesia_wire import Contexts, refused
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from tests.vendors.cartesia_tts import BARBERSHOP, KATIE, CartesiaTts
from tests.vendors.speech_tones import is_said
from tests.vendors.tts_vendor import Day

Open = Callable[..., AbstractAsyncContextManager[CartesiaSynthesizer]]
VOICE = Voice("cartesia", KATIE, "en-US")


@pytest.fixture
async def vendor() -> AsyncIterator[CartesiaTts]:
    async with CartesiaTts() as vendor:
        yield vendor


@pytest.fixture
def opened(vendor: CartesiaTts, monkeypatch: pytest.MonkeyPatch) -> Open:
    def opened(**env: str) -> CartesiaSynthesizer:
        for name, value in {**vendor.environment, **env}.items():
            monkeypatch.setenv(name, value)
        return CartesiaSynthesizer(Settings(tts_first_audio_s=20.0))

    return opened


async def spoken(synthesizer: CartesiaSynthesizer, text: str, voice: Voice = VOICE) -> bytes:
    return b"".join([chunk async for chunk in synthesizer.speak(text, voice)])


async def test_all_voices_share_a_connection(vendor: CartesiaTts, opened: Open) -> None:
    async with opened() as synthesizer:
        await synthesizer.warm(VOICE)
        for name, language in [(KATIE, "en-US"), ("Katie", "de-DE"), ("", "en-US")]:
            assert is_said(await spoken(synthesizer, "Hello.", Voice("cartesia", name, language)), "Hello.")
        assert vendor.opened == 1
    assert vendor.voices_asked == [KATIE, KATIE, BARBERSHOP]
    assert vendor.complaints == []


async def test_an_idle_connection_is_replaced_before_the_vendor_closes_it(
    vendor: CartesiaTts, opened: Open
) -> None:
    """So there is always one: the new one is open before the old one is given up."""
    vendor.idle_s = 1.0
    async with opened(CALLBOT_CARTESIA_TTS_IDLE_S="1") as synthesizer:
        await synthesizer.warm(VOICE)
        [first] = vendor.sockets
        await vendor.until(lambda: vendor.opened == 2)
        assert not first.closed
        assert is_said(await spoken(synthesizer, "Hello."), "Hello.")


async def test_a_text_over_the_limit_leaves_the_others_alone(vendor: CartesiaTts, opened: Open) -> None:
    async with opened() as synthesizer:
        vendor.day = Day.STALLS
        going_on = synthesizer.speak("Hello there, caller.", VOICE)
        assert await anext(going_on)
        vendor.day, vendor.generating_at_once = Day.GOOD, 1
        with pytest.raises(ProviderError) as caught:
            await spoken(synthesizer, "One too many.")
        assert (caught.value.code, caught.value.retryable) == ("busy", True)
        vendor.generating_at_once = 2
        assert is_said(await spoken(synthesizer, "One more."), "One more.")
        assert vendor.opened == 1
        await going_on.aclose()


async def test_cancelling_tells_the_vendor_which_text(vendor: CartesiaTts, opened: Open) -> None:
    async with opened() as synthesizer:
        vendor.day = Day.STALLS
        speech = synthesizer.speak("Hello there, caller.", VOICE)
        assert await anext(speech)
        await speech.aclose()
        await vendor.until(lambda: vendor.given_up == 1)
        vendor.day = Day.GOOD
        assert is_said(await spoken(synthesizer, "Hello."), "Hello.")
        # A text that has come to its end is not cancelled.
        assert (len(vendor.cancelled), vendor.opened) == (1, 1)


async def test_many_texts_at_once(vendor: CartesiaTts, opened: Open) -> None:
    texts = [f"This is text {n}." for n in range(50)]
    async with opened() as synthesizer:
        said = await asyncio.gather(*[spoken(synthesizer, text) for text in texts])
        assert all(is_said(audio, text) for audio, text in zip(said, texts, strict=True))
    assert vendor.complaints == []


@pytest.mark.parametrize(
    ("status", "word", "code"),
    [
        (401, "unauthorized", "refused"),
        (402, None, "out_of_quota"),
        (400, "quota_exceeded", "out_of_quota"),
        (404, "voice_not_found", "unknown_voice"),
        (400, "model_not_found", "bad_request"),
        (429, "concurrency_limited", "busy"),
        (500, None, "unavailable"),
    ],
)
def test_what_an_error_means(status: int, word: str | None, code: str) -> None:
    body = {"error_code": word, "title": "t", "message": "m"}
    assert refused(status, body, None).code == code
    told = f'{{"type": "error", "done": true, "status_code": {status}, "context_id": "c1"'
    heard = Contexts("sonic-3.5").heard(told + (f', "error_code": "{word}"}}' if word else "}"))
    assert isinstance(heard.error, ProviderError) and heard.error.code == code


@pytest.mark.parametrize(("closed_with", "code"), [(1000, "broken_off"), (1011, "unavailable")])
def test_what_a_close_code_means(closed_with: int, code: str) -> None:
    assert Contexts("sonic-3.5").closed(closed_with).code == code


def test_settings(opened: Open) -> None:
    with pytest.raises(SettingsError, match="CARTESIA_API_KEY is not set"):
        opened(CARTESIA_API_KEY="")
