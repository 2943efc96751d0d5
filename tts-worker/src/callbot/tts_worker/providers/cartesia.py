"""Cartesia: all voices over the same WebSockets, which are open before a call speaks."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Final, Self

import aiohttp
from pydantic import Field, SecretStr

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions
from callbot.schemas.voices import VoiceInfo
from callbot.tts_worker.providers import http_speech
from callbot.tts_worker.providers.cartesia_wire import IDLE_S, Contexts, is_voice_id, voices_at
from callbot.tts_worker.providers.socket_pool import SocketPool, all_audio, by, opened
from callbot.tts_worker.providers.vendor_voices import VendorVoice, VoiceDirectory
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

log = logging.getLogger(__name__)

VERSION: Final = "2026-08-14"
WARMED_WITHIN_S: Final = 10.0


class CartesiaOptions(ProviderOptions):
    api_key: SecretStr = Field(SecretStr(""), validation_alias="CARTESIA_API_KEY")
    base_url: str = Field(
        "https://api.cartesia.ai", validation_alias="CARTESIA_BASE_URL", pattern=r"^https?://"
    )
    cartesia_version: str = VERSION
    """Of the API, as the vendor dates it."""
    cartesia_tts_model: str = "sonic-3.5"
    cartesia_tts_voice: str = "a0e99841-438c-4a64-b679-ae501e7d6091"
    """Name or id of the voice for bots that have none of Cartesia: the one of the vendor's own examples."""
    cartesia_tts_idle_s: float = Field(IDLE_S, gt=0)
    """After so long without a text the vendor closes a connection."""


class CartesiaSynthesizer:
    """Use as an async context manager. The constructor raises SettingsError."""

    provider = "cartesia"

    def __init__(self, settings: Settings) -> None:
        options = CartesiaOptions.of_environment()
        if not options.api_key.get_secret_value():
            raise SettingsError("CARTESIA_API_KEY is not set")
        self.ready = True
        self._default_voice = options.cartesia_tts_voice
        self._base_url = options.base_url.rstrip("/")
        self._headers = {
            "X-API-Key": options.api_key.get_secret_value(),
            "Cartesia-Version": options.cartesia_version,
        }
        self._within_s = settings.tts_first_audio_s
        self._dialect = Contexts(options.cartesia_tts_model, options.cartesia_tts_idle_s)
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession
        self._pool = SocketPool(self._connect, self._dialect, provider=self.provider)
        self._directory = VoiceDirectory(
            self.provider, is_id=is_voice_id, search=self._search, listing=self._search
        )

    @property
    def voices(self) -> list[VoiceInfo]:
        return self._directory.voices

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(http_speech.session())
        await self._stack.enter_async_context(self._directory)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()
        await self._stack.aclose()

    def model_of(self, voice: Voice) -> str:
        return self._dialect.model

    async def warm(self, voice: Voice) -> None:
        try:
            async with by(asyncio.get_running_loop().time() + WARMED_WITHIN_S):
                await asyncio.gather(self._id_of(voice), self._pool.warm())
        except ProviderError as e:
            log.warning("a voice is not ready", extra={"provider": self.provider, "reason": str(e)})

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        """Like Synthesizer.speak."""
        until_s = asyncio.get_running_loop().time() + self._within_s
        async with by(until_s):
            voice_id = await self._id_of(voice)
        try:
            said, first = await self._pool.begin(
                lambda context: self._dialect.say(context, text, voice_id, voice.language), until_s=until_s
            )
            async with aclosing(all_audio(said, first, self._within_s)) as pieces:
                async for piece in pieces:
                    yield piece
        except ProviderError as e:
            if e.code == "unknown_voice":
                self._directory.forget(voice_id)
            raise

    async def _id_of(self, voice: Voice) -> str:
        return await self._directory.id_of(voice.name or self._default_voice)

    async def _search(self, name: str = "") -> list[VendorVoice]:
        return await voices_at(self._session, self._base_url, self._headers, name)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        return await opened(
            self._session, f"{self._base_url}/tts/websocket", headers=self._headers, params={}
        )
