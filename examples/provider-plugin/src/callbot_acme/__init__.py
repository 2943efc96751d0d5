"""ACME's voices for CallBot Studio: a text goes there by HTTP, mu-law comes back piece by piece."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from pydantic import Field, SecretStr

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions
from callbot.runtime.vendor_answers import broken_off, malformed, refusal, unreachable, within, wrong_audio
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info
from callbot.tts_worker.urgency import WAITED_FOR, Urgency


class AcmeOptions(ProviderOptions):
    api_key: SecretStr = Field(SecretStr(""), validation_alias="ACME_API_KEY")
    base_url: str = Field("https://api.acme.example", validation_alias="ACME_BASE_URL")


class AcmeSynthesizer:
    ready = True
    voices = (voice_info("acme", "anna", "en-US"), voice_info("acme", "bert", "de-DE"))

    def __init__(self, session: ClientSession, within_s: float) -> None:
        self._session, self._within_s = session, within_s

    async def warm(self, voice: Voice) -> None:
        with suppress(ClientError, OSError):
            (await self._session.get("/v1/voices", timeout=ClientTimeout(total=self._within_s))).release()

    async def speak(self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR) -> AsyncGenerator[bytes]:
        body = {"text": text, "voice": voice.name.lower() or "anna", "encoding": "mulaw", "rate": 8000}
        try:
            async with within(self._within_s):
                answer = await self._session.post("/v1/speak", json=body, allow_redirects=False)
        except (ClientError, OSError) as e:
            raise unreachable(e) from None
        async with answer:
            refuse(answer)
            while piece := await self._next_piece(answer):
                yield piece

    async def _next_piece(self, answer: ClientResponse) -> bytes:
        try:
            async with within(self._within_s):
                return await answer.content.readany()
        except (ClientError, OSError) as e:
            raise broken_off(e) from None


def refuse(answer: ClientResponse) -> None:
    """Raises ProviderError. Its code tells the chain whether to blame the request or the provider."""
    if answer.status == 404:
        raise ProviderError("unknown_voice", "HTTP 404", retryable=False)
    if answer.status != 200:
        raise refusal(answer.status, retry_after=answer.headers.get("Retry-After"))
    if not answer.content_type.startswith("audio/"):
        raise malformed("no audio")
    if answer.content_type != "audio/basic":
        raise wrong_audio("no mu-law")


@asynccontextmanager
async def open_acme(settings: Settings) -> AsyncIterator[AcmeSynthesizer]:
    """What the entry point names. SettingsError: the worker says why it goes on without ACME."""
    options = AcmeOptions.of_environment()
    if not (key := options.api_key.get_secret_value()):
        raise SettingsError("ACME_API_KEY is not set")
    async with ClientSession(options.base_url, headers={"Authorization": f"Bearer {key}"}) as session:
        yield AcmeSynthesizer(session, settings.tts_first_audio_s)
