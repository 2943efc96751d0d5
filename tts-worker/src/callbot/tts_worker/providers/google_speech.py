"""Google's Text-to-Speech v1 over gRPC: one channel, connected ahead of its need. Nothing is retried.

https://cloud.google.com/text-to-speech/docs/reference/rpc/google.cloud.texttospeech.v1
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Iterable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import grpc
import grpc.aio
from google.cloud.texttospeech_v1.types import cloud_tts
from google.protobuf.message import DecodeError

from callbot.runtime.errors import ProviderError
from callbot.runtime.google_access import GoogleAccess
from callbot.runtime.settings import is_loopback
from callbot.runtime.vendor_answers import broken_off, malformed, unreachable, wrong_audio
from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.tts_worker.providers.google_status import Ending, refusal
from callbot.tts_worker.providers.google_voices import GoogleVoice
from callbot.tts_worker.riff import MalformedRiff, RiffReader, samples_of

T = TypeVar("T")
EOF: Final = grpc.aio.EOF  # type: ignore[attr-defined]
SERVICE: Final = "/google.cloud.texttospeech.v1.TextToSpeech/"
MULAW: Final = cloud_tts.AudioEncoding.MULAW
# At `debug` it writes a line for each call.
logging.getLogger("grpc").setLevel(logging.INFO)
_RIFF: Final = b"RIFF"
_OPTIONS: Final = (
    ("grpc.enable_retries", 0),
    # A policy of retries could come by DNS.
    ("grpc.service_config_disable_resolution", 1),
    # A silent death of the connection is seen between two calls; a server that minds is asked less often.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.client_idle_timeout_ms", 2**31 - 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
)


class GoogleSpeech:
    """Use as an async context manager. Every method raises ProviderError; deadlines are the caller's."""

    def __init__(self, endpoint: str, access: GoogleAccess) -> None:
        """`endpoint`: host:port. TLS, but to this machine."""
        self._endpoint = endpoint
        self._access = access
        self._channel: grpc.aio.Channel | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if is_loopback(self._endpoint.rpartition(":")[0].strip("[]")):
            self._channel = grpc.aio.insecure_channel(self._endpoint, _OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(self._endpoint, grpc.ssl_channel_credentials(), _OPTIONS)
        self._connecting = asyncio.create_task(self._stay_connected(self._channel))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close(grace=None)

    async def voices(self) -> list[str]:
        """The names of all."""
        request = cloud_tts.ListVoicesRequest.serialize(cloud_tts.ListVoicesRequest())
        answer = await self._asked("ListVoices", request)
        return [voice.name for voice in _decoded(cloud_tts.ListVoicesResponse, answer).voices]

    async def whole(self, text: str, voice: GoogleVoice) -> bytes:
        """The mu-law of a text, all of it made before the first byte comes."""
        request = cloud_tts.SynthesizeSpeechRequest(
            input=cloud_tts.SynthesisInput(text=text),
            voice=_selected(voice),
            audio_config=cloud_tts.AudioConfig(audio_encoding=MULAW, sample_rate_hertz=SAMPLE_RATE_HZ),
        )
        answer = await self._asked("SynthesizeSpeech", cloud_tts.SynthesizeSpeechRequest.serialize(request))
        file = _decoded(cloud_tts.SynthesizeSpeechResponse, answer).audio_content
        try:
            form, samples = samples_of(file) if file else (None, b"")
        except MalformedRiff as e:
            raise malformed(f"the WAV file {e}") from None
        if form is not None and not form.is_telephone:
            raise wrong_audio(f"format {form.tag} at {form.rate_hz} Hz")
        return samples

    async def streamed(self, text: str, voice: GoogleVoice) -> AsyncGenerator[bytes, None]:
        """The mu-law of a text while it is made. `aclose()` cancels at the vendor.

        One stream for each text: the vendor ends a stream that is idle for seconds.
        """
        config = cloud_tts.StreamingSynthesizeConfig(
            voice=_selected(voice),
            streaming_audio_config=cloud_tts.StreamingAudioConfig(
                audio_encoding=MULAW, sample_rate_hertz=SAMPLE_RATE_HZ
            ),
        )
        requests = [
            cloud_tts.StreamingSynthesizeRequest(streaming_config=config),
            cloud_tts.StreamingSynthesizeRequest(input=cloud_tts.StreamingSynthesisInput(text=text)),
        ]
        metadata = await self._access.metadata()
        stub = self._open_channel().stream_stream(f"{SERVICE}StreamingSynthesize", None, None)
        call: Any = stub(None, metadata=metadata)
        ending = Ending(call)
        samples = Headerless()
        try:
            await _write(call, [cloud_tts.StreamingSynthesizeRequest.serialize(one) for one in requests])
            while (answer := await self._told(ending, call.read(), begun=samples.given)) is not EOF:
                content = _decoded(cloud_tts.StreamingSynthesizeResponse, answer).audio_content
                if piece := samples.feed(content):
                    yield piece
        finally:
            call.cancel()

    async def connected(self) -> None:
        """Returns when a request would not wait for a connection."""
        await self._open_channel().channel_ready()

    async def _asked(self, method: str, request: bytes) -> Any:
        metadata = await self._access.metadata()
        call = self._open_channel().unary_unary(f"{SERVICE}{method}", None, None)(request, metadata=metadata)
        try:
            return await self._told(Ending(call), call, begun=False)
        finally:
            call.cancel()

    async def _told(self, ending: Ending, answer: Awaitable[T], *, begun: bool) -> T:
        """`begun`: some of the audio has been given."""
        failure: ProviderError | None = None
        try:
            return await answer
        except grpc.aio.AioRpcError:
            failure = broken_off() if begun else None
        except asyncio.CancelledError as e:
            # Also raised where the vendor has cancelled.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            failure = broken_off(e) if begun else unreachable(e)
        except grpc.aio.BaseError as e:
            failure = broken_off(e) if begun else unreachable(e)
        # Outside of the handlers: what the vendor says is not to hang on our error.
        if failure is None:
            status = await ending.status()
            if status.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._access.was_refused()
            failure = refusal(status)
        raise failure

    def _open_channel(self) -> grpc.aio.Channel:
        assert self._channel is not None
        return self._channel

    @staticmethod
    async def _stay_connected(channel: grpc.aio.Channel) -> None:
        while True:
            # A channel whose connection has gone is idle, and connects when it is asked.
            state = channel.get_state(try_to_connect=True)
            await channel.wait_for_state_change(state)


class Headerless:
    """The pieces of a stream. It should have no header; one that has is read as what it is."""

    def __init__(self) -> None:
        self.given = False
        self._riff: RiffReader | None = None

    def feed(self, content: bytes) -> bytes:
        """Raises ProviderError."""
        if not self.given and self._riff is None and content.startswith(_RIFF):
            self._riff = RiffReader()
        if self._riff is not None:
            try:
                content = self._riff.feed(content)
            except MalformedRiff as e:
                raise malformed(f"the WAV stream {e}") from None
            if content and self._riff.format is not None and not self._riff.format.is_telephone:
                raise wrong_audio(f"format {self._riff.format.tag} at {self._riff.format.rate_hz} Hz")
        self.given = self.given or bool(content)
        return content


async def _write(call: Any, requests: Iterable[bytes]) -> None:
    """All of them, and the end: the vendor makes the audio at once."""
    for request in requests:
        try:
            await call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The vendor has ended the call: reading tells why.
            return
    await call.done_writing()


def _selected(voice: GoogleVoice) -> cloud_tts.VoiceSelectionParams:
    return cloud_tts.VoiceSelectionParams(language_code=voice.locale, name=voice.name)


def _decoded(kind: Any, answer: object) -> Any:
    try:
        return kind.deserialize(answer)
    except DecodeError:
        raise malformed("no such message") from None
