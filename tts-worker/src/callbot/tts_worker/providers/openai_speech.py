"""OpenAI's `/audio/speech`, and every server that answers it.

https://platform.openai.com/docs/api-reference/audio/createSpeech. OpenAI itself ends this service on
2027-01-06 (https://developers.openai.com/api/docs/deprecations); other vendors and local servers answer the
same request under a base URL of their own.
"""

import asyncio
import errno
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from pydantic import AliasChoices, Field, SecretStr

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions
from callbot.runtime.vendor_answers import (
    broken_off,
    malformed,
    refusal,
    unreachable,
    vendor_code,
    within,
    wrong_audio,
)
from callbot.schemas.voices import folded
from callbot.tts_worker.providers.kept_open import KeptOpen
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info
from callbot.tts_worker.telephone_audio import TelephoneAudio
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

log = logging.getLogger(__name__)

PROVIDER: Final = "openai"
KEPT_S: Final = 120.0
MAX_ERROR_BYTES: Final = 65536
SHUT_ON: Final = "2027-01-06"
_OPENAI: Final = "api.openai.com"
_RATES_HZ: Final = range(8000, 96001)
_GONE: Final = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}
_VOICES: Final = "alloy,ash,ballad,coral,echo,fable,onyx,nova,sage,shimmer,verse,marin,cedar"


class OpenAISpeechOptions(ProviderOptions):
    api_key: SecretStr = Field(
        SecretStr(""), validation_alias=AliasChoices("CALLBOT_OPENAI_TTS_API_KEY", "OPENAI_API_KEY")
    )
    base_url: str = Field(
        "https://api.openai.com/v1",
        validation_alias=AliasChoices("CALLBOT_OPENAI_TTS_BASE_URL", "OPENAI_BASE_URL"),
    )
    model: str = Field("", validation_alias="CALLBOT_OPENAI_TTS_MODEL")
    """No default: vendors switch models off on dates that they announce."""
    voice: str = Field("alloy", validation_alias="CALLBOT_OPENAI_TTS_VOICE")
    voices: str = Field(_VOICES, validation_alias="CALLBOT_OPENAI_TTS_VOICES")
    """What `/v1/voices` shows, by commas: the API has no list. Any other name is asked for as it is."""
    instructions: str = Field("", validation_alias="CALLBOT_OPENAI_TTS_INSTRUCTIONS")
    """How to speak. Empty: not sent; some models refuse it."""
    speed: float | None = Field(None, ge=0.25, le=4, validation_alias="CALLBOT_OPENAI_TTS_SPEED")
    rate_hz: int = Field(24000, ge=8000, le=96000, validation_alias="CALLBOT_OPENAI_TTS_RATE_HZ")
    """Of the server's `pcm`, where it does not say another one in its Content-Type."""

    def check(self) -> None:
        """Raises SettingsError when it cannot be used."""
        if not self.model:
            raise SettingsError("CALLBOT_OPENAI_TTS_MODEL is not set")
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError("CALLBOT_OPENAI_TTS_BASE_URL is no http or https URL")
        if parts.hostname == _OPENAI and not self.api_key.get_secret_value():
            raise SettingsError("OPENAI_API_KEY is not set")


class OpenAISynthesizer:
    """Use as an async context manager."""

    ready = True

    def __init__(self, settings: Settings) -> None:
        self._options = OpenAISpeechOptions.of_environment()
        self._options.check()
        self._first_audio_s = settings.tts_first_audio_s
        self._url = self._options.base_url.rstrip("/")
        names = [name.strip() for name in self._options.voices.split(",") if name.strip()]
        # They speak every language; which one is heard depends on the text.
        self.voices = [voice_info(PROVIDER, name, "und") for name in names]
        self._spelt = {folded(name): name for name in names}
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession
        self.warmth = KeptOpen(self._knock, provider=PROVIDER)

    async def __aenter__(self) -> Self:
        key = self._options.api_key.get_secret_value()
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {key}"} if key else {},
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        )
        await self._stack.enter_async_context(self.warmth)
        if urlsplit(self._url).hostname == _OPENAI:
            facts = {"model": self._options.model, "shut_on": SHUT_ON}
            log.warning("OpenAI switches its speech models off: choose another voice", extra=facts)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def model_of(self, voice: Voice) -> str:
        return self._options.model

    async def warm(self, voice: Voice) -> None:
        await self.warmth.warm()

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        self.warmth.wanted()
        whole = False
        response: aiohttp.ClientResponse | None = None
        try:
            async with within(self._first_audio_s):
                response = await self._ask(text, voice)
            audio = TelephoneAudio(self._rate_hz(response))
            said = False
            while pcm := await self._read(response):
                if not said:
                    _check_beginning(pcm)
                if chunk := audio.feed(pcm):
                    said = True
                    yield chunk
            whole = True
            if rest := audio.end():
                said = True
                yield rest
            if not said:
                raise ProviderError("no_audio", "the server said nothing", retryable=True)
        finally:
            if response is not None:
                response.close()
            if not whole:
                self.warmth.lost()

    async def _ask(self, text: str, voice: Voice) -> aiohttp.ClientResponse:
        """Returns with the status 200. Raises ProviderError."""
        for last in (False, True):
            try:
                response = await self._session.post(
                    f"{self._url}/audio/speech", json=self._body(text, voice), allow_redirects=False
                )
            except (aiohttp.ClientError, OSError) as e:
                if not last and _was_dead(e):
                    # A kept connection that the server has closed meanwhile.
                    continue
                failure = unreachable(e)
                break
            if response.status == 200:
                return response
            failure = await _refused(response)
            break
        raise failure

    def _body(self, text: str, voice: Voice) -> dict[str, object]:
        options = self._options
        name = self._spelt.get(folded(voice.name), voice.name) or options.voice
        body: dict[str, object] = {
            "model": options.model,
            "input": text,
            "voice": {"id": name} if name.startswith("voice_") else name,
            "response_format": "pcm",
        }
        if options.instructions:
            body["instructions"] = options.instructions
        if options.speed is not None:
            body["speed"] = options.speed
        return body

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """What has come; empty at the end. Raises ProviderError."""
        try:
            async with within(self._first_audio_s):
                return await response.content.readany()
        except (aiohttp.ClientError, OSError) as e:
            failure = broken_off(e)
        raise failure

    def _rate_hz(self, response: aiohttp.ClientResponse) -> int:
        """Of the samples. Raises ProviderError for what is none."""
        kind = response.content_type
        if kind.startswith("text/") or kind == "application/json":
            raise malformed("no audio")
        if kind not in ("audio/pcm", "audio/l16", "application/octet-stream"):
            raise wrong_audio(f"not pcm but {vendor_code(kind.replace('/', '.'))}")
        told = aiohttp.helpers.parse_mimetype(response.headers.get("Content-Type", "")).parameters.get("rate")
        if told is None:
            return self._options.rate_hz
        if not told.isdecimal() or int(told) not in _RATES_HZ:
            raise wrong_audio("a rate that no telephone audio is made of")
        return int(told)

    async def _knock(self) -> None:
        """HEAD: a list of models may be long, and any answer will do."""
        async with self._session.head(f"{self._url}/models", allow_redirects=False):
            return


def _was_dead(error: BaseException) -> bool:
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    return isinstance(error, aiohttp.ServerDisconnectedError) or (
        isinstance(error, OSError) and error.errno in _GONE
    )


def _check_beginning(pcm: bytes) -> None:
    """Raises ProviderError where a server has ignored `response_format`."""
    if pcm.startswith((b"RIFF", b"OggS", b"fLaC", b"ID3")):
        raise wrong_audio("a file, not pcm")


async def _refused(response: aiohttp.ClientResponse) -> ProviderError:
    """What it says is read only for its code."""
    try:
        async with asyncio.timeout(1.0):
            body = await response.content.read(MAX_ERROR_BYTES)
        error = json.loads(body)["error"]
        code, about = error.get("code") or error.get("type"), error.get("param")
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError, LookupError, TypeError, AttributeError):
        code = about = None
    response.close()
    if response.status in (400, 404, 422) and about == "voice":
        return ProviderError("unknown_voice", f"HTTP {response.status}", retryable=False)
    return refusal(
        response.status,
        code,
        retry_after=response.headers.get("Retry-After"),
        out_of_quota=code == "insufficient_quota",
    )
