"""Deepgram's streaming recognition: Nova on /v1/listen, Flux on /v2/listen, by the name of the model.

https://developers.deepgram.com/reference/speech-to-text/listen-streaming and …/listen-flux
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.runtime.settings import ProviderOptions
from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.stt_worker.providers import deepgram_errors
from callbot.stt_worker.providers.deepgram_connection import CLOSE_S, PING_S, Connection, Manner
from callbot.stt_worker.providers.deepgram_flux import FluxStream, FluxTurns
from callbot.stt_worker.providers.deepgram_languages import flux_language, nova_language
from callbot.stt_worker.providers.deepgram_nova import KEEP_ALIVE, NovaStream, NovaTranscript
from callbot.stt_worker.recognizer import SpeechStream
from callbot.stt_worker.settings import Settings

NOVA_PIECE_MS: Final = 20
FLUX_PIECE_MS: Final = 80
"""What its makers recommend, and its own step."""
MOST_KEYTERMS: Final = 50
KEYTERM_BYTES: Final = 1000
"""All together: the vendor's limit is 500 tokens, and it refuses the whole stream for more."""
Parameters = list[tuple[str, str]]


class DeepgramOptions(ProviderOptions):
    model_config = SettingsConfigDict(env_prefix="CALLBOT_DEEPGRAM_STT_")

    api_key: SecretStr = Field(SecretStr(""), validation_alias="DEEPGRAM_API_KEY")
    base_url: str = Field("https://api.deepgram.com", validation_alias="DEEPGRAM_BASE_URL")
    model: str = Field("nova-3", pattern=r"^[a-z0-9-]{1,64}$")
    """`flux-…`: Flux, which knows ten languages and says when a turn is over."""
    endpointing_ms: int = Field(300, ge=10, le=5000)
    """Nova: a silence that settles what was said without being asked."""
    finalize_after_ms: int = Field(40, ge=0, le=1000)
    """Nova is asked to settle this long after the words are wanted. A stop consonant closes for up to 100 ms,
    and our silences are 64 ms old when words are wanted: Nova would cut the word."""
    patience_ms: int = Field(250, ge=0, le=2000)
    """Flux is left to decide by itself this long, before its turn is ended by force."""
    eot_threshold: float = Field(0.7, ge=0.5, le=1)
    eager_eot_threshold: float = Field(0.5, ge=0, le=0.9)
    """0: no early opinion of Flux's."""
    eot_timeout_ms: int = Field(5000, ge=500, le=60_000)
    replay_speed: float = Field(1.25, ge=1)
    """Times real time at most. The vendor's own servers allow 1.25."""
    idle_s: float = Field(4.0, gt=0, le=9)
    """After so long without audio the vendor is told that we are still there; it hangs up after ten."""
    connect_s: float = Field(5.0, gt=0)
    mip_opt_out: bool = False
    """True: the vendor may not train with the callers' voices; changes its price."""


class DeepgramRecognizer:
    """A StreamingRecognizer."""

    working = True

    def __init__(self, http: aiohttp.ClientSession, options: DeepgramOptions) -> None:
        self._http = http
        self._options = options

    @classmethod
    @asynccontextmanager
    async def open(cls, _: Settings) -> AsyncIterator["DeepgramRecognizer"]:
        options = DeepgramOptions.of_environment()
        key = options.api_key.get_secret_value()
        if not key:
            raise SettingsError("DEEPGRAM_API_KEY is not set")
        if options.eager_eot_threshold and not 0.3 <= options.eager_eot_threshold <= options.eot_threshold:
            raise SettingsError(
                "CALLBOT_DEEPGRAM_STT_EAGER_EOT_THRESHOLD must be 0, or from 0.3 to the eot_threshold"
            )
        # Each call keeps a connection of its own: a limit would let calls wait for each other.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=connector, headers={"Authorization": f"Token {key}"}
        ) as http:
            yield cls(http, options)

    def model_of(self, language: str) -> str:
        return self._options.model

    @asynccontextmanager
    async def stream(self, language: str, hints: Sequence[str]) -> AsyncIterator[SpeechStream]:
        """Raises ProviderError."""
        is_flux = self._options.model.startswith("flux-")
        parameters = (flux_parameters if is_flux else nova_parameters)(self._options, language, hints)
        socket = await self._connect("/v2/listen" if is_flux else "/v1/listen", parameters)
        opened = self._flux(socket) if is_flux else self._nova(socket)
        async with opened as stream:
            yield stream

    async def _connect(self, path: str, parameters: Parameters) -> aiohttp.ClientWebSocketResponse:
        url = self._options.base_url.rstrip("/") + path
        try:
            async with asyncio.timeout(self._options.connect_s):
                return await self._http.ws_connect(
                    url,
                    params=parameters,
                    heartbeat=PING_S,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                )
        except aiohttp.WSServerHandshakeError as e:
            error = deepgram_errors.of_handshake(e)
        except TimeoutError:
            error = ProviderError("timeout", "no connection in time", retryable=True)
        except (aiohttp.ClientError, OSError, ValueError) as e:
            error = ProviderError("unavailable", type(e).__name__, retryable=True)
        raise error

    @asynccontextmanager
    async def _nova(self, socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[NovaStream]:
        manner = Manner(NOVA_PIECE_MS, self._options.replay_speed, self._options.idle_s, KEEP_ALIVE)
        connection = Connection(socket, manner)
        transcript = NovaTranscript(connection.clock)
        async with connection.running(transcript.hear):
            finalize_after_s = self._options.finalize_after_ms / 1000
            yield NovaStream(connection, transcript, finalize_after_s=finalize_after_s)

    @asynccontextmanager
    async def _flux(self, socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[FluxStream]:
        # It has no message to say that we are still there, and a turn never ends without audio.
        manner = Manner(FLUX_PIECE_MS, self._options.replay_speed, min(1.0, self._options.idle_s), "")
        connection = Connection(socket, manner)
        turns = FluxTurns(connection.clock)
        async with connection.running(turns.hear):
            if not await connection.until(lambda: turns.connected, self._options.connect_s):
                raise ProviderError("timeout", "no greeting in time", retryable=True)
            yield FluxStream(connection, turns, patience_s=self._options.patience_ms / 1000)


def nova_parameters(options: DeepgramOptions, language: str, hints: Sequence[str]) -> Parameters:
    """Raises ProviderError for a language that Nova does not know."""
    # Words to expect have another name, and weights, before Nova 3.
    expected = keyterms(hints) if options.model.startswith("nova-3") else []
    return [
        *_audio(options),
        ("channels", "1"),
        ("language", nova_language(language)),
        ("interim_results", "true"),
        ("punctuate", "true"),
        ("smart_format", "true"),
        ("endpointing", str(options.endpointing_ms)),
        *expected,
    ]


def flux_parameters(options: DeepgramOptions, language: str, hints: Sequence[str]) -> Parameters:
    """Raises ProviderError for a language that Flux does not know."""
    base = flux_language(language)
    # The English model refuses hints of languages, and knows no other one.
    model = "flux-general-multi" if base != "en" and options.model.endswith("-en") else options.model
    eager = [("eager_eot_threshold", str(options.eager_eot_threshold))] if options.eager_eot_threshold else []
    return [
        *_audio(options.model_copy(update={"model": model})),
        ("eot_threshold", str(options.eot_threshold)),
        ("eot_timeout_ms", str(options.eot_timeout_ms)),
        *eager,
        *([] if model.endswith("-en") else [("language_hint", base)]),
        *keyterms(hints),
    ]


def keyterms(hints: Sequence[str]) -> Parameters:
    """As many of the words to expect as the vendor takes; the first ones."""
    terms: Parameters = []
    left = KEYTERM_BYTES
    for term in hints[:MOST_KEYTERMS]:
        left -= len(term.encode())
        if left < 0:
            break
        if term.strip():
            terms.append(("keyterm", term.strip()))
    return terms


def _audio(options: DeepgramOptions) -> Parameters:
    opt_out = [("mip_opt_out", "true")] if options.mip_opt_out else []
    return [("model", options.model), ("encoding", "mulaw"), ("sample_rate", str(SAMPLE_RATE_HZ)), *opt_out]
