"""Deepgram Aura: a voice is a model, spoken over a WebSocket as headerless mu-law."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
from pydantic import Field, SecretStr

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions
from callbot.runtime.vendor_answers import malformed, refusal, unreachable, within
from callbot.schemas.voices import VoiceInfo
from callbot.tts_worker.providers.deepgram_socket import PROVIDER, DeepgramSocket, connected
from callbot.tts_worker.providers.deepgram_sockets import DeepgramSockets
from callbot.tts_worker.providers.http_speech import session
from callbot.tts_worker.providers.listing import Listing
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

LISTED_WITHIN_S: Final = 5.0
WARM_WITHIN_S: Final = 5.0
MAX_VOICES_AT_ONCE: Final = 64
"""Voices that have connections; the one that was wanted longest ago gives way."""


class DeepgramSpeechOptions(ProviderOptions):
    api_key: SecretStr = Field(SecretStr(""), validation_alias="DEEPGRAM_API_KEY")
    base_url: str = Field("https://api.deepgram.com", validation_alias="DEEPGRAM_BASE_URL")
    voice: str = Field("aura-2-thalia-en", validation_alias="CALLBOT_DEEPGRAM_TTS_VOICE")
    """Of calls in its language; in others the first that the vendor lists for the language."""

    def check(self) -> None:
        """Raises SettingsError when it cannot be used."""
        if not self.api_key.get_secret_value():
            raise SettingsError("DEEPGRAM_API_KEY is not set")
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError("DEEPGRAM_BASE_URL is no http or https URL")


class DeepgramSynthesizer:
    """Use as an async context manager."""

    ready = True

    def __init__(self, settings: Settings) -> None:
        self._options = DeepgramSpeechOptions.of_environment()
        self._options.check()
        self._first_audio_s = settings.tts_first_audio_s
        self._url = self._options.base_url.rstrip("/")
        self._headers = {"Authorization": f"Token {self._options.api_key.get_secret_value()}"}
        self._listing = Listing(PROVIDER, self._list)
        self._pools: dict[str, DeepgramSockets] = {}
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(session())
        await self._stack.enter_async_context(self._listing)
        self._stack.push_async_callback(self._close_pools)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def voices(self) -> list[VoiceInfo]:
        return self._listing.latest or []

    def model_of(self, voice: Voice) -> str:
        """`aura-2` of `aura-2-thalia-en`."""
        return (voice.name.lower() or self._options.voice).rsplit("-", 2)[0]

    async def warm(self, voice: Voice) -> None:
        try:
            async with within(WARM_WITHIN_S):
                await (await self._pool(voice)).warm()
        except ProviderError:
            # Said by who has failed; the text that needs the connection tries again.
            return

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        until_s = asyncio.get_running_loop().time() + self._first_audio_s
        async with within(self._first_audio_s):
            pool = await self._pool(voice)
        async with aclosing(pool.speak(text, until_s, self._first_audio_s)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _pool(self, voice: Voice) -> DeepgramSockets:
        """Raises ProviderError."""
        # Their names have small letters only.
        model = voice.name.lower() or await self._default(voice.language)
        pool = self._pools.pop(model, None)
        if pool is None:
            pool = DeepgramSockets(lambda: self._connected(model))
        # The last is the one that was wanted last.
        self._pools[model] = pool
        if len(self._pools) > MAX_VOICES_AT_ONCE:
            idle = next((name for name, one in self._pools.items() if not one.is_speaking), None)
            if idle not in (None, model):
                await self._pools.pop(str(idle)).close()
        return pool

    async def _default(self, language: str) -> str:
        """Raises ProviderError."""
        wanted = language.partition("-")[0].lower()
        if self._options.voice.rpartition("-")[2] == wanted:
            return self._options.voice
        for voice in await self._listing.known():
            if voice.language.partition("-")[0].lower() == wanted:
                return voice.name
        raise ProviderError("language_unknown", "no voice of this language", retryable=False)

    async def _connected(self, model: str) -> DeepgramSocket:
        """`container` is for the HTTP twin: a WebSocket's audio never has one."""
        url = f"ws{self._url.removeprefix('http')}/v1/speak"
        params = {"model": model, "encoding": "mulaw", "sample_rate": "8000"}
        return await connected(self._session, url, params, self._headers)

    async def _list(self) -> list[VoiceInfo]:
        """`GET /v1/models`. Raises ProviderError."""
        async with within(LISTED_WITHIN_S):
            try:
                async with self._session.get(f"{self._url}/v1/models", headers=self._headers) as answer:
                    told = await answer.json() if answer.status == 200 else None
                    status, retry_after = answer.status, answer.headers.get("Retry-After")
            except (aiohttp.ClientError, OSError) as e:
                failure = unreachable(e)
            except ValueError:
                failure = malformed("no JSON")
            else:
                if status == 200:
                    return _voices(told)
                failure = refusal(status, retry_after=retry_after)
        raise failure

    async def _close_pools(self) -> None:
        await asyncio.gather(*[pool.close() for pool in self._pools.values()])


def _voices(told: Any) -> list[VoiceInfo]:
    """Raises ProviderError."""
    try:
        return [
            voice_info(PROVIDER, str(model["canonical_name"]), str(language))
            for model in told["tts"]
            for language in model["languages"][:1]
        ]
    except (LookupError, TypeError):
        raise malformed("no list of models") from None
