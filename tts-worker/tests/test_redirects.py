"""A text and the operator's key go to the vendor that was set, and to nobody whom that one names."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from callbot.runtime.errors import ProviderError
from callbot.tts_worker.providers.cartesia import CartesiaSynthesizer
from callbot.tts_worker.providers.deepgram import DeepgramSynthesizer
from callbot.tts_worker.providers.elevenlabs import ElevenLabsSynthesizer
from callbot.tts_worker.providers.openai_speech import OpenAISynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Synthesizer, Voice

KEY = "key-of-the-operator"
VOICES = {
    "elevenlabs": "JBFqnCBsd6RMkjVDRZzb",
    "cartesia": "a0e99841-438c-4a64-b679-ae501e7d6091",
    "deepgram": "aura-2-thalia-en",
    "openai": "alloy",
}
Opened = Callable[[Settings], AbstractAsyncContextManager[Synthesizer]]


class Elsewhere:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.Response(status=500)


@pytest.fixture
async def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
async def vendor_url(elsewhere: Elsewhere) -> AsyncIterator[str]:
    """Of a vendor that sends everybody elsewhere."""

    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(other.make_url(request.path))

    there, here = web.Application(), web.Application()
    there.router.add_route("*", "/{path:.*}", elsewhere.answer)
    here.router.add_route("*", "/{path:.*}", redirect)
    async with TestServer(there, host="localhost") as other, TestServer(here, host="127.0.0.1") as vendor:
        yield str(vendor.make_url("")).rstrip("/")


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("elevenlabs", ElevenLabsSynthesizer),
        ("cartesia", CartesiaSynthesizer),
        ("deepgram", DeepgramSynthesizer),
        ("openai", OpenAISynthesizer),
    ],
)
async def test_nobody_else_is_asked(
    name: str, opened: Opened, vendor_url: str, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{name.upper()}_API_KEY", KEY)
    monkeypatch.setenv(f"{name.upper()}_BASE_URL", vendor_url)
    monkeypatch.setenv("CALLBOT_OPENAI_TTS_MODEL", "any")
    voice = Voice(name, VOICES[name], "en-US")
    async with opened(Settings()) as synthesizer:
        await synthesizer.warm(voice)
        with pytest.raises(ProviderError) as caught:
            async with aclosing(synthesizer.speak("Hello.", voice)) as chunks:
                await anext(chunks)
    assert elsewhere.asked == []
    assert KEY not in str(caught.value)
