"""Google's Text-to-Speech v1 as a gRPC server, with the messages of Google's own package.

The package has no servicer: the methods stand here by the paths that its client uses.
https://cloud.google.com/text-to-speech/docs/reference/rpc/google.cloud.texttospeech.v1
"""

import asyncio
import struct
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, NoReturn, Self

import grpc
import grpc.aio
from google.cloud.texttospeech_v1.types import cloud_tts
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from tests.vendors.google_account import SECRET_LINES, write_key, wrong_token
from tests.vendors.speech_tones import spoken_mulaw
from tests.vendors.torn_connections import TornConnections
from tests.vendors.tts_vendor import CHATTER, KEY, RETRY_AFTER_S, Day, TtsVendor

VOICES: Final = (
    *(f"{locale}-Chirp3-HD-{name}" for locale in ("en-US", "en-GB", "de-DE") for name in ("Aoede", "Kore")),
    "en-US-Neural2-A",
    "en-US-Wavenet-A",
    "en-GB-Neural2-A",
    "de-DE-Neural2-F",
    "fr-FR-Wavenet-E",
    "Kore",
)
"""The last one is a speaker of Gemini's, which needs a model."""
PIECE_BYTES: Final = 1001
MAX_INPUT_BYTES: Final = 5000
Code = grpc.StatusCode
Context = Any
"""A grpc.aio.ServicerContext of raw messages."""


class GoogleTts(TtsVendor):
    """Spoken to by StreamingSynthesize."""

    name: ClassVar[str] = "google"
    # Streamed audio has no header that could tell its rate.
    days: ClassVar[frozenset[Day]] = frozenset(Day) - {Day.WRONG_RATE}
    voice: ClassVar[str] = "en-US-Chirp3-HD-Kore"
    secrets: ClassVar[tuple[str, ...]] = (KEY, *SECRET_LINES)
    streaming: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.tokens: set[str] = set()
        self.methods: list[str] = []
        self._environment: dict[str, str] = {}
        self._key_file = Path()
        self.tcp = TornConnections(0)
        self._open = AsyncExitStack()

    @property
    def environment(self) -> Mapping[str, str]:
        return self._environment

    def key(self) -> str:
        """What is in the file of the service account."""
        return self._key_file.read_text()

    def put_key(self, content: str) -> None:
        self._key_file.write_text(content)

    async def __aenter__(self) -> Self:
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        self._key_file = write_key(folder)
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        methods = {
            "ListVoices": grpc.unary_unary_rpc_method_handler(self._list_voices),
            "SynthesizeSpeech": grpc.unary_unary_rpc_method_handler(self._synthesize),
            "StreamingSynthesize": grpc.stream_stream_rpc_method_handler(self._streaming_synthesize),
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.cloud.texttospeech.v1.TextToSpeech", methods),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self._open.push_async_callback(server.stop, None)
        self.tcp = await self._open.enter_async_context(TornConnections(port))
        self._environment = {
            "GOOGLE_APPLICATION_CREDENTIALS": str(self._key_file),
            "CALLBOT_GOOGLE_TTS_ENDPOINT": f"127.0.0.1:{self.tcp.port}",
            "CALLBOT_GOOGLE_TTS_STREAMING": str(self.streaming),
        }
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def _list_voices(self, request: bytes, context: Context) -> bytes:
        await self._admit(context, "ListVoices")
        await self._bad_day(context)
        cloud_tts.ListVoicesRequest.deserialize(request)
        voices = [
            cloud_tts.Voice(language_codes=[name[:5] if "-" in name else "en-US"], name=name)
            for name in VOICES
        ]
        return _bytes(cloud_tts.ListVoicesResponse(voices=voices))

    async def _synthesize(self, request: bytes, context: Context) -> bytes:
        await self._admit(context, "SynthesizeSpeech")
        asked = cloud_tts.SynthesizeSpeechRequest.deserialize(request)
        await self.begins(asked.input.text, voice=asked.voice.name, connection=context.peer())
        await self._bad_day(context)
        await self._check(context, asked.input.text, asked.voice, asked.audio_config)
        rate_hz = 16000 if self.day is Day.WRONG_RATE else 8000
        file = _wav(spoken_mulaw(asked.input.text), rate_hz)
        self.gives_audio()
        content = b"<html>not a WAV file</html>" if self.day is Day.MALFORMED else file
        return _bytes(cloud_tts.SynthesizeSpeechResponse(audio_content=content))

    async def _streaming_synthesize(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        await self._admit(context, "StreamingSynthesize")
        text, config = await self._read(requests, context)
        await self.begins(text, voice=config.voice.name, connection=context.peer())
        await self._bad_day(context)
        await self._check(context, text, config.voice, config.streaming_audio_config)
        if "-Chirp3-HD-" not in config.voice.name:
            await self._refuse(context, "Currently, only Chirp 3: HD voices are supported for streaming.")
        day = self.day
        self.gives_audio()
        if day is Day.MALFORMED:
            yield b"<html>no such message</html>"
            return
        audio = spoken_mulaw(text)
        try:
            for at in range(0, len(audio), PIECE_BYTES):
                if day in (Day.STALLS, Day.CUT) and at >= len(audio) // 2:
                    await self._breaks(context, day)
                piece = audio[at : at + PIECE_BYTES]
                yield _bytes(cloud_tts.StreamingSynthesizeResponse(audio_content=piece))
        except asyncio.CancelledError:
            await self.gives_up()
            raise

    async def _read(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> tuple[str, cloud_tts.StreamingSynthesizeConfig]:
        """Its input, to the end of the client's half, and its configuration."""
        config: cloud_tts.StreamingSynthesizeConfig | None = None
        text = ""
        async for data in requests:
            request = cloud_tts.StreamingSynthesizeRequest.deserialize(data)
            if config is None:
                if "streaming_config" not in request:
                    await self._refuse(context, "The first message has to be a streaming_config.")
                config = request.streaming_config
            elif "input" not in request or not request.input.text:
                await self._refuse(context, "A message after the first has to be an input.")
            else:
                text += request.input.text
        if config is None or not text:
            await self._refuse(context, "The stream has no input.")
        return text, config

    async def _admit(self, context: Context, method: str) -> None:
        self.methods.append(method)
        self.connects(context.peer())
        authorization = dict(context.invocation_metadata()).get("authorization", "")
        self.tokens.add(authorization.partition(" ")[2])
        if self.day is Day.REFUSED or (wrong := wrong_token(authorization)):
            if self.day is not Day.REFUSED:
                self.complaints.append(wrong)
            await _abort(context, Code.UNAUTHENTICATED, f"Invalid credentials {authorization}")

    async def _check(self, context: Context, text: str, voice: Any, audio: Any) -> None:
        if audio.audio_encoding != cloud_tts.AudioEncoding.MULAW or audio.sample_rate_hertz != 8000:
            await self._refuse(context, "No mu-law of 8,000 Hz was asked for.")
        if len(text.encode()) > MAX_INPUT_BYTES:
            await self._refuse(context, "Either `input.text` or `input.ssml` is longer than 5000 bytes.")
        if voice.name not in VOICES:
            # No fault of ours: bots can have any name.
            await _abort(context, Code.INVALID_ARGUMENT, f"Voice '{voice.name}' does not exist.")
        if not voice.name.startswith(f"{voice.language_code}-"):
            await self._refuse(
                context, f"Language {voice.language_code} and voice {voice.name} do not match."
            )

    async def _refuse(self, context: Context, complaint: str) -> NoReturn:
        self.complaints.append(complaint)
        await _abort(context, Code.INVALID_ARGUMENT, complaint)

    async def _bad_day(self, context: Context) -> None:
        """Of those that show themselves before the first audio."""
        match self.day:
            case Day.BUSY:
                await _abort(context, Code.RESOURCE_EXHAUSTED, "Quota exceeded")
            case Day.BUSY_FOR:
                delay = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S))
                limit = _quota("RATE_LIMIT_EXCEEDED", "RequestsPerMinutePerProject")
                await _abort(context, Code.RESOURCE_EXHAUSTED, "Quota exceeded", limit, delay)
            case Day.OUT_OF_QUOTA:
                limit = _quota("RATE_LIMIT_EXCEEDED", "CharactersPerDayPerProject")
                await _abort(context, Code.RESOURCE_EXHAUSTED, "Quota exceeded", limit)
            case Day.BROKEN:
                await _abort(context, Code.INTERNAL, "Internal error")
            case Day.SLOW:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    await self.gives_up()
                    raise

    async def _breaks(self, context: Context, day: Day) -> None:
        if day is Day.CUT:
            # What has been written is on its way, but not at the client yet.
            await asyncio.sleep(0.05)
            self.tcp.tear(int(context.peer().rpartition(":")[2]))
        await asyncio.Event().wait()


class GoogleUnaryTts(GoogleTts):
    """Spoken to by SynthesizeSpeech, whose answer comes whole or not at all."""

    days: ClassVar[frozenset[Day]] = frozenset(Day) - {Day.STALLS, Day.CUT}
    voice: ClassVar[str] = "en-US-Neural2-A"
    streaming: ClassVar[bool] = False


def _wav(samples: bytes, rate_hz: int) -> bytes:
    """Mu-law as most writers have it: 58 bytes before the samples, and some after."""
    form = struct.pack("<HHIIHHH", 7, 1, rate_hz, rate_hz, 1, 8, 0)
    fact = struct.pack("<I", len(samples))
    chunks = b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for name, content in ((b"fmt ", form), (b"fact", fact), (b"data", samples), (b"LIST", b"INFO"))
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _quota(reason: str, limit: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(
        reason=reason, domain="googleapis.com", metadata={"quota_limit": limit}
    )


async def _abort(context: Context, code: grpc.StatusCode, text: str, *details: Any) -> NoReturn:
    told = f"{text}: {CHATTER} {KEY}"
    packed = [AnyMessage() for _ in details]
    for into, one in zip(packed, details, strict=True):
        into.Pack(one)
    status = status_pb2.Status(code=code.value[0], message=told, details=packed)
    await context.abort(code, told, (("grpc-status-details-bin", status.SerializeToString()),))
    raise AssertionError


def _bytes(message: Any) -> bytes:
    data: bytes = type(message).serialize(message)
    return data
