"""OpenAI's transcription of files, and every server with the same interface: Whisper on one's own machine.

`POST {base}/audio/transcriptions`, multipart: https://platform.openai.com/docs/api-reference/audio, and the
parameters of the package openai 3.52. One request for each utterance, over connections that are kept open.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, Literal

import aiohttp
import numpy as np
from pydantic import AliasChoices, Field, SecretStr

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions
from callbot.runtime.vendor_answers import broken_off, malformed, refusal, unreachable
from callbot.schemas.audio import BYTES_PER_MS, SAMPLE_RATE_HZ, SILENCE_BYTE
from callbot.stt_worker import mulaw
from callbot.stt_worker.invented_words import cannot_be_said, is_invented, without_captions
from callbot.stt_worker.recognizer import Utterance
from callbot.stt_worker.settings import Settings
from callbot.stt_worker.wav import as_mulaw_wav, as_pcm_wav

OPENAI_URL: Final = "https://api.openai.com/v1"
SHORTEST_BYTES: Final = 200 * BYTES_PER_MS
"""OpenAI refuses less than 100 ms."""
QUIET_RMS: Final = 10 ** (-50 / 20)
"""Below it everywhere there is no voice to transcribe; a quiet caller's loudest 20 ms are at -34 dBFS."""
BLOCK: Final = SAMPLE_RATE_HZ // 50
LONGEST_ANSWER_BYTES: Final = 1 << 20
CANNOT_READ: Final = frozenset({400, 415, 422})
log = logging.getLogger(__name__)


class OpenAIOptions(ProviderOptions):
    api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("CALLBOT_OPENAI_STT_API_KEY", "OPENAI_API_KEY")
    )
    """A server of one's own may need none."""
    base_url: str = Field(
        OPENAI_URL, validation_alias=AliasChoices("CALLBOT_OPENAI_STT_BASE_URL", "OPENAI_BASE_URL")
    )
    openai_stt_model: str = ""
    """`gpt-transcribe`, or what the server has. Without it this provider is not used: a server of chat models
    seldom transcribes."""
    openai_stt_wav: Literal["auto", "mulaw", "pcm"] = "auto"
    """`auto`: mu-law, until the server refuses a file of it and takes PCM."""
    openai_stt_answer: Literal["auto", "json", "verbose_json"] = "auto"
    """`verbose_json` tells how sure Whisper is. `auto`: for all models but `gpt-…`, which have only `json`.
    """
    openai_stt_timeout_s: float = Field(10.0, gt=0)
    """Whoever asks usually waits for less."""

    @property
    def verbose(self) -> bool:
        whisper = not self.openai_stt_model.startswith("gpt-")
        return self.openai_stt_answer == "verbose_json" or (self.openai_stt_answer == "auto" and whisper)


@dataclass(slots=True)
class Connection:
    """Of one request."""

    before: bool = False
    """It was used before, so it may be dead by now."""


def _told_of_reuse() -> aiohttp.TraceConfig:
    async def reused(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        if isinstance(used := context.trace_request_ctx, Connection):
            used.before = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    return trace


class OpenAIRecognizer:
    working = True
    free_decoders = 1
    """Each request is paid for: there is none for what is not needed."""

    def __init__(self, options: OpenAIOptions, session: aiohttp.ClientSession) -> None:
        self._options = options
        self._session = session
        self._url = options.base_url.rstrip("/")
        self._pcm = options.openai_stt_wav == "pcm"

    @classmethod
    @asynccontextmanager
    async def open(cls, _: Settings) -> AsyncIterator["OpenAIRecognizer"]:
        options = OpenAIOptions.of_environment()
        if not options.openai_stt_model:
            raise SettingsError("CALLBOT_OPENAI_STT_MODEL is not set")
        if options.api_key is None and options.base_url == OPENAI_URL:
            raise SettingsError("OPENAI_API_KEY is not set")
        key = options.api_key.get_secret_value() if options.api_key else ""
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=aiohttp.ClientTimeout(total=options.openai_stt_timeout_s, sock_connect=2),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            trace_configs=[_told_of_reuse()],
        ) as session:
            yield cls(options, session)

    def model_of(self, language: str) -> str:
        return self._options.openai_stt_model

    async def warm(self) -> None:
        """One connection is there when the first utterance comes; what is asked for does not matter."""
        try:
            async with self._session.get(f"{self._url}/models", allow_redirects=False) as response:
                await response.content.read(LONGEST_ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, ValueError) as e:
            log.debug("not warm", extra={"provider": "openai", "reason": type(e).__name__})

    async def transcribe(self, utterance: Utterance) -> str:
        if await asyncio.to_thread(_is_quiet, utterance.audio):
            return ""
        pcm = self._pcm
        status, answer, retry_after = await self._asked(utterance, pcm)
        if status in CANNOT_READ and not pcm and self._options.openai_stt_wav == "auto":
            status, answer, retry_after = await self._asked(utterance, True)
            # In the life of a server that does not know mu-law it is refused once.
            self._pcm = status == 200
        if status != 200:
            raise _refused(status, answer, retry_after)
        return _words(answer, utterance)

    async def _asked(self, utterance: Utterance, pcm: bool) -> tuple[int, Any, str | None]:
        """Status, JSON (None where it is none), `Retry-After`. Raises ProviderError."""
        try:
            try:
                return await self._posted(self._form(utterance, pcm), used := Connection())
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not used.before:
                    raise
                # Kept open, and closed by the server while nobody looked.
                return await self._posted(self._form(utterance, pcm), Connection())
        except TimeoutError:
            told = f"{self._options.openai_stt_timeout_s} s"
            raise ProviderError("too_slow", told, retryable=True) from None
        except aiohttp.ClientConnectorError as e:
            raise unreachable(e) from None
        except (aiohttp.ClientError, ValueError) as e:
            raise broken_off(e) from None

    async def _posted(self, form: aiohttp.FormData, used: Connection) -> tuple[int, Any, str | None]:
        async with self._session.post(
            f"{self._url}/audio/transcriptions",
            data=form,
            allow_redirects=False,
            trace_request_ctx=used,
        ) as response:
            return response.status, _json(await _whole(response)), response.headers.get("Retry-After")

    def _form(self, utterance: Utterance, pcm: bool) -> aiohttp.FormData:
        audio = utterance.audio.ljust(SHORTEST_BYTES, bytes([SILENCE_BYTE]))
        wav = as_pcm_wav(audio) if pcm else as_mulaw_wav(audio)
        form = aiohttp.FormData()
        form.add_field("model", self._options.openai_stt_model)
        form.add_field("language", utterance.language.split("-")[0].lower())
        form.add_field("response_format", "verbose_json" if self._options.verbose else "json")
        if utterance.hints and self._options.openai_stt_model.startswith("gpt-transcribe"):
            for hint in utterance.hints:
                form.add_field("keywords[]", hint)
        elif utterance.hints:
            form.add_field("prompt", _prompt(utterance))
        form.add_field("file", wav, filename="speech.wav", content_type="audio/wav")
        return form


def _prompt(utterance: Utterance) -> str:
    """Whisper takes it as what was said before."""
    return ", ".join(utterance.hints)


def _is_quiet(audio: bytes) -> bool:
    samples = mulaw.decode(audio[: len(audio) // BLOCK * BLOCK]).reshape(-1, BLOCK)
    return samples.size == 0 or bool(np.sqrt(np.mean(samples**2, axis=1)).max() < QUIET_RMS)


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Empty: it is longer than any answer."""
    body = b""
    while piece := await response.content.readany():
        body += piece
        if len(body) > LONGEST_ANSWER_BYTES:
            return b""
    return body


def _json(read: bytes) -> Any:
    try:
        return json.loads(read)
    except ValueError:
        return None


def _refused(status: int, answer: Any, retry_after: str | None) -> ProviderError:
    """https://platform.openai.com/docs/guides/error-codes: an exhausted quota is a 429 too."""
    told = answer.get("error") if isinstance(answer, Mapping) else None
    code = told.get("code") or told.get("type") if isinstance(told, Mapping) else ""
    if status == 200 or not 100 <= status < 600:
        return malformed("no answer of this interface")
    return refusal(status, code, retry_after=retry_after, out_of_quota=code == "insufficient_quota")


def _words(answer: Any, utterance: Utterance) -> str:
    """Without what was made up. Raises ProviderError."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("text"), str):
        raise malformed("an answer without a text")
    text: str = answer["text"]
    if isinstance(segments := answer.get("segments"), list) and segments:
        text = " ".join(_said(segment) for segment in segments)
    # JSON can have halves of characters (surrogates), which no message of ours can.
    text = without_captions(text.encode("utf-8", "ignore").decode())
    seconds = len(utterance.audio) / SAMPLE_RATE_HZ
    return "" if cannot_be_said(text, seconds, _prompt(utterance)) else text


def _said(segment: Any) -> str:
    """Of one segment of `verbose_json`. Raises ProviderError."""
    if not isinstance(segment, Mapping) or not isinstance(segment.get("text"), str):
        raise malformed("a segment without a text")
    text: str = segment["text"].strip()
    score, no_speech = segment.get("avg_logprob"), segment.get("no_speech_prob")
    if not isinstance(score, int | float) or not isinstance(no_speech, int | float):
        return text
    return "" if is_invented(text, score, no_speech) else text
