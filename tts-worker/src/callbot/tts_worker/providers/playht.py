"""PlayHT's HTTP stream (v2), for a server of the operator's that speaks it: the vendor's service has ended.

As it was at https://docs.play.ht/reference/api-generate-tts-audio-stream
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Any, Self

import aiohttp
from pydantic import Field, SecretStr

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions
from callbot.runtime.vendor_answers import refusal, vendor_code
from callbot.schemas.voices import VoiceInfo
from callbot.tts_worker.providers import http_speech
from callbot.tts_worker.providers.kept_open import KeptOpen
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info
from callbot.tts_worker.urgency import WAITED_FOR, Urgency


class PlayHTOptions(ProviderOptions):
    base_url: str = Field("", validation_alias="PLAYHT_BASE_URL", pattern=r"^(https?://.*)?$")
    """There is no default: api.play.ht does not answer any more."""
    api_key: SecretStr = Field(SecretStr(""), validation_alias="PLAYHT_API_KEY")
    user_id: SecretStr = Field(SecretStr(""), validation_alias="PLAYHT_USER_ID")
    playht_tts_engine: str = "PlayDialog"
    playht_tts_voice: str = (
        "s3://voice-cloning-zero-shot/d9ff78ba-d016-47f6-b0ef-dd630f59414e/female-cs/manifest.json"
    )
    """For bots that have none of PlayHT's: the one of the vendor's own examples."""


class PlayHTSynthesizer:
    """Use as an async context manager. The constructor raises SettingsError."""

    provider = "playht"

    def __init__(self, settings: Settings) -> None:
        options = PlayHTOptions.of_environment()
        if not options.base_url:
            raise SettingsError("PLAYHT_BASE_URL is not set: PlayHT's own service has ended")
        if not options.api_key.get_secret_value():
            raise SettingsError("PLAYHT_API_KEY is not set")
        self.ready = True
        self._options = options
        self._base_url = options.base_url.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {options.api_key.get_secret_value()}",
            "X-USER-ID": options.user_id.get_secret_value(),
            "Accept": "audio/basic",
        }
        self._within_s = settings.tts_first_audio_s
        self._kept = KeptOpen(self._knock, provider=self.provider)
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession

    @property
    def voices(self) -> list[VoiceInfo]:
        """Its default: what a server of the operator's has besides is the operator's to know."""
        return [voice_info(self.provider, self._options.playht_tts_voice, "und")]

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(http_speech.session())
        await self._stack.enter_async_context(self._kept)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def model_of(self, voice: Voice) -> str:
        return self._options.playht_tts_engine

    async def warm(self, voice: Voice) -> None:
        await self._kept.warm()

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        """Like Synthesizer.speak."""
        self._kept.wanted()
        request = http_speech.Request(
            f"{self._base_url}/api/v2/tts/stream",
            self._headers,
            body={
                "text": text,
                "voice": voice.name or self._options.playht_tts_voice,
                "voice_engine": self._options.playht_tts_engine,
                "output_format": "mulaw",
                "sample_rate": 8000,
            },
        )
        until_s = asyncio.get_running_loop().time() + self._within_s
        pieces = http_speech.spoken(self._session, request, refused, until_s=until_s, within_s=self._within_s)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def _knock(self) -> None:
        url = f"{self._base_url}/api/v2/voices"
        async with self._session.get(url, headers=self._headers, allow_redirects=False) as answer:
            await answer.read()


def refused(status: int, body: Any, retry_after: str | None) -> ProviderError:
    """`{"error_id": "VOICE_NOT_FOUND", "error_message": …}`; only the id is kept."""
    told = body.get("error_id") if isinstance(body, Mapping) else None
    word = vendor_code(told.lower()) if isinstance(told, str) else ""
    if status == 404 or "voice" in word:
        return ProviderError("unknown_voice", f"HTTP {status} {word}".strip(), retryable=False)
    return refusal(status, word, retry_after=retry_after, out_of_quota="quota" in word or "credit" in word)
