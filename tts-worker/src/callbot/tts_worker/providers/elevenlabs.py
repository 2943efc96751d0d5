"""ElevenLabs: over WebSockets that are open before a call speaks, or over HTTP for models without them."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Final, Literal, Self

import aiohttp
from pydantic import Field, SecretStr

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions
from callbot.schemas.voices import VoiceInfo
from callbot.tts_worker.providers import http_speech
from callbot.tts_worker.providers.elevenlabs_voices import is_voice_id, voices_at
from callbot.tts_worker.providers.elevenlabs_wire import (
    FORMAT,
    MAX_INACTIVITY_S,
    MultiContext,
    has_websockets,
    language_code,
    refused,
)
from callbot.tts_worker.providers.kept_open import KeptOpen
from callbot.tts_worker.providers.socket_pool import SocketPool, all_audio, by, opened
from callbot.tts_worker.providers.vendor_voices import VendorVoice, VoiceDirectory
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

log = logging.getLogger(__name__)

WARMED_WITHIN_S: Final = 10.0
MAX_VOICES_AT_ONCE: Final = 64
"""Voices that have connections; the one that was wanted longest ago gives way."""


class ElevenLabsOptions(ProviderOptions):
    api_key: SecretStr = Field(SecretStr(""), validation_alias="ELEVENLABS_API_KEY")
    base_url: str = Field(
        "https://api.elevenlabs.io", validation_alias="ELEVENLABS_BASE_URL", pattern=r"^https?://"
    )
    elevenlabs_tts_model: str = Field("eleven_flash_v2_5", pattern=r"^[A-Za-z0-9_.-]+$")
    elevenlabs_tts_voice: str = "JBFqnCBsd6RMkjVDRZzb"
    """Name or id of the voice for bots that have none of ElevenLabs: George, of the vendor's own examples."""
    elevenlabs_tts_transport: Literal["auto", "websocket", "http"] = "auto"
    """`auto`: WebSockets, but HTTP for the models that are known to have none."""
    elevenlabs_tts_inactivity_s: int = Field(MAX_INACTIVITY_S, ge=1, le=MAX_INACTIVITY_S)
    """After so long without a message the vendor may close a connection."""


class ElevenLabsSynthesizer:
    """Use as an async context manager. The constructor raises SettingsError."""

    provider = "elevenlabs"

    def __init__(self, settings: Settings) -> None:
        options = ElevenLabsOptions.of_environment()
        if not options.api_key.get_secret_value():
            raise SettingsError("ELEVENLABS_API_KEY is not set")
        self.ready = True
        self._options = options
        self._base_url = options.base_url.rstrip("/")
        self._headers = {"xi-api-key": options.api_key.get_secret_value()}
        self._within_s = settings.tts_first_audio_s
        transport = options.elevenlabs_tts_transport
        self._over_http = transport == "http" or (
            transport == "auto" and not has_websockets(options.elevenlabs_tts_model)
        )
        self._dialect = MultiContext(options.elevenlabs_tts_inactivity_s)
        self._pools: dict[tuple[str, str], SocketPool] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._kept = KeptOpen(self._knock, provider=self.provider)
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession
        self._directory = VoiceDirectory(
            self.provider, is_id=is_voice_id, search=self._search, listing=self._search
        )

    @property
    def voices(self) -> list[VoiceInfo]:
        return self._directory.voices

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(http_speech.session())
        await self._stack.enter_async_context(self._directory)
        await self._stack.enter_async_context(self._kept)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._leaving, *(pool.close() for pool in self._pools.values()))
        await self._stack.aclose()

    def model_of(self, voice: Voice) -> str:
        return self._options.elevenlabs_tts_model

    async def warm(self, voice: Voice) -> None:
        try:
            async with by(asyncio.get_running_loop().time() + WARMED_WITHIN_S):
                voice_id = await self._id_of(voice)
                if self._over_http:
                    await self._kept.warm()
                else:
                    await self._pool(voice_id, voice.language).warm()
        except ProviderError as e:
            log.warning("a voice is not ready", extra={"provider": self.provider, "reason": str(e)})

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        """Like Synthesizer.speak."""
        until_s = asyncio.get_running_loop().time() + self._within_s
        async with by(until_s):
            voice_id = await self._id_of(voice)
        pieces = (
            self._from_http(text, voice_id, voice.language, until_s)
            if self._over_http
            else self._from_socket(text, voice_id, voice.language, until_s)
        )
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except ProviderError as e:
            if e.code == "unknown_voice":
                self._directory.forget(voice_id)
            raise

    async def _from_socket(
        self, text: str, voice_id: str, language: str, until_s: float
    ) -> AsyncGenerator[bytes, None]:
        pool = self._pool(voice_id, language)
        said, first = await pool.begin(lambda context: self._dialect.say(context, text), until_s=until_s)
        async with aclosing(all_audio(said, first, self._within_s)) as pieces:
            async for piece in pieces:
                yield piece

    def _from_http(
        self, text: str, voice_id: str, language: str, until_s: float
    ) -> AsyncGenerator[bytes, None]:
        body: dict[str, object] = {
            "text": text,
            "model_id": self._options.elevenlabs_tts_model,
        }
        if code := language_code(self._options.elevenlabs_tts_model, language):
            body["language_code"] = code
        self._kept.wanted()
        request = http_speech.Request(
            f"{self._base_url}/v1/text-to-speech/{voice_id}/stream",
            self._headers,
            {"output_format": FORMAT},
            body,
        )
        return http_speech.spoken(self._session, request, refused, until_s=until_s, within_s=self._within_s)

    async def _id_of(self, voice: Voice) -> str:
        return await self._directory.id_of(voice.name or self._options.elevenlabs_tts_voice)

    async def _knock(self) -> None:
        url = f"{self._base_url}/v1/models"
        async with self._session.get(url, headers=self._headers, allow_redirects=False) as answer:
            await answer.read()

    async def _search(self, name: str = "") -> list[VendorVoice]:
        return await voices_at(self._session, self._base_url, self._headers, name)

    def _pool(self, voice_id: str, language: str) -> SocketPool:
        """Voice and language are parts of a connection's URL."""
        code = language_code(self._options.elevenlabs_tts_model, language)
        key = (voice_id, code)
        pool = self._pools.pop(key, None) or self._new_pool(voice_id, code)
        if len(self._pools) >= MAX_VOICES_AT_ONCE:
            self._leave_an_idle_one()
        # The last is the one that was wanted last.
        self._pools[key] = pool
        return pool

    def _leave_an_idle_one(self) -> None:
        idle = next((key for key, pool in self._pools.items() if pool.is_idle), None)
        if idle is not None:
            task = asyncio.create_task(self._pools.pop(idle).close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _new_pool(self, voice_id: str, code: str) -> SocketPool:
        params = {
            "model_id": self._options.elevenlabs_tts_model,
            "output_format": FORMAT,
            "auto_mode": "true",
            "inactivity_timeout": str(self._options.elevenlabs_tts_inactivity_s),
            **({"language_code": code} if code else {}),
        }
        url = f"{self._base_url}/v1/text-to-speech/{voice_id}/multi-stream-input"
        return SocketPool(
            lambda: opened(self._session, url, headers=self._headers, params=params),
            self._dialect,
            provider=self.provider,
        )
