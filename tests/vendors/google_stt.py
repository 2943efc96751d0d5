"""Google Cloud Speech as a gRPC server, v1 and v2, with the messages of Google's own package.

The package has no servicer: the method stands here by the path that its client uses. Limits as
https://cloud.google.com/speech-to-text/quotas has them and as clients have reported Google's sentences.
"""

import asyncio
import atexit
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from callbot.schemas.audio import BYTES_PER_MS
from tests.vendors.google_account import write_key, wrong_token
from tests.vendors.google_stt_ear import Ear, Happening, Understood
from tests.vendors.google_stt_rules import Asked, Rules, RulesV1, RulesV2, Wrong, is_told
from tests.vendors.stt_vendor import CHATTER, KEY, RETRY_AFTER_S, Day
from tests.vendors.torn_connections import TornConnections

LONGEST_S: Final = 305
BURST_S: Final = 4.0
"""So much may come at once; more on and on is "too fast"."""
FASTEST: Final = 1.3
AT_ONCE: Final = {Day.REFUSED, Day.BUSY, Day.BUSY_FOR, Day.OUT_OF_QUOTA, Day.BROKEN, Day.WRONG_RATE}
MALFORMED: Final = b"\xff\xff\xff<html>no response</html>"
_FOLDER: Final = tempfile.TemporaryDirectory()
"""For the key, which stays when a server goes away."""
atexit.register(_FOLDER.cleanup)
Code = grpc.StatusCode
Context = Any
"""A grpc.aio.ServicerContext of raw messages."""


@dataclass
class Heard:
    """One stream, for the tests to look at."""

    asked: Asked | None = None
    ms: int = 0
    messages: int = 0
    half_closed: bool = False
    silence_ms: int = 0
    status: str = ""


@dataclass(frozen=True)
class Break:
    """It ends the next stream with this status when it has heard so much."""

    after_ms: int
    code: grpc.StatusCode
    sentence: str = "The service is currently unavailable."


class GoogleSpeech:
    """Use as an async context manager. The attributes may be set before a stream begins."""

    project = "tests"
    location = "global"
    api = "v2"

    def __init__(self) -> None:
        self.day = Day.GOOD
        self.speed = 1.0
        """How much faster than ours its time runs: audio may come so much faster."""
        self.patience_s = 10.0
        """In our time: it waits so long for audio."""
        self.ms_per_character = 10
        self.endpoint_ms = 700
        self.longest_speech_ms = 15_000
        """Without a pause it settles what it has after so long, behind a word."""
        self.takes_no: frozenset[str] = frozenset()
        """Fields of the configuration that the model turns out not to take."""
        self.settles_after_s = 0.0
        """The time it takes for a final result when the client has ended its half."""
        self.breaks: deque[Break | None] = deque()
        """Of the streams that are begun from now on, one after the other."""
        self.finals = 0
        """Told so far."""
        self.complaints: list[str] = []
        self.streams: list[Heard] = []
        self.open_connections = 0
        self._live: list[_Stream] = []
        self._environment: dict[str, str] = {}
        self._connections = TornConnections(0)
        self._open = AsyncExitStack()

    @property
    def begun(self) -> int:
        return len(self.streams)

    @property
    def environment(self) -> Mapping[str, str]:
        return {**self._environment, "CALLBOT_GOOGLE_STT_SPEED": str(self.speed)}

    async def __aenter__(self) -> Self:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        rules = self._rules()
        handler = grpc.stream_stream_rpc_method_handler(self._streaming_recognize)
        methods = {"StreamingRecognize": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(rules.service, methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self._open.push_async_callback(server.stop, None)
        self._connections = await self._open.enter_async_context(TornConnections(port))
        self._environment = {
            "GOOGLE_APPLICATION_CREDENTIALS": str(write_key(Path(_FOLDER.name))),
            "CALLBOT_GOOGLE_STT_URL": f"http://127.0.0.1:{self._connections.port}",
            "CALLBOT_GOOGLE_STT_API": self.api,
        }
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def turns(self, day: Day) -> None:
        """Open streams have this day too; where it lets nobody in, they are torn."""
        self.day = day
        for stream in self._live:
            stream.day = day
        if day in AT_ONCE:
            self._connections.tear_all()

    def _rules(self) -> Rules:
        return RulesV1() if self.api == "v1" else RulesV2(self.project, self.location)

    async def _streaming_recognize(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        heard = Heard()
        self.streams.append(heard)
        self.open_connections += 1
        stream = _Stream(self, heard, self._rules(), context)
        try:
            self._live.append(stream)
            async for data in stream.responses(requests):
                yield data
        finally:
            self._live = [live for live in self._live if live is not stream]
            self.open_connections -= 1

    async def admit(self, context: Context) -> None:
        authorization = dict(context.invocation_metadata()).get("authorization", "")
        wrong = wrong_token(authorization)
        if self.day is Day.REFUSED or wrong:
            if self.day is not Day.REFUSED:
                self.complaints.append(wrong)
            sentence = f"Request had invalid authentication credentials {authorization}"
            await abort(context, Code.UNAUTHENTICATED, sentence)

    async def bad_day(self, context: Context) -> None:
        """Of those that show themselves at once."""
        match self.day:
            case Day.BUSY:
                await abort(context, Code.RESOURCE_EXHAUSTED, "Quota exceeded for requests per minute")
            case Day.BUSY_FOR:
                delay = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S))
                await abort(context, Code.RESOURCE_EXHAUSTED, "Quota exceeded", delay)
            case Day.OUT_OF_QUOTA:
                info = error_details_pb2.ErrorInfo(reason="BILLING_DISABLED", domain="googleapis.com")
                sentence = "This API method requires billing to be enabled."
                await abort(context, Code.PERMISSION_DENIED, sentence, info)
            case Day.BROKEN:
                await abort(context, Code.INTERNAL, "Internal error encountered.")
            case Day.WRONG_RATE:
                sentence = "sample_rate_hertz (8000) in RecognitionConfig must match the audio."
                await abort(context, Code.INVALID_ARGUMENT, sentence)

    async def refuse(self, context: Context, code: grpc.StatusCode, wrong: Wrong) -> NoReturn:
        self.complaints.append(str(wrong))
        await not_taken(context, wrong, code)

    def tear(self, context: Context) -> None:
        self._connections.tear(int(context.peer().rpartition(":")[2]))


class GoogleSpeechV1(GoogleSpeech):
    api = "v1"


class _Stream:
    """One StreamingRecognize."""

    def __init__(self, vendor: GoogleSpeech, heard: Heard, rules: Rules, context: Context) -> None:
        self._vendor = vendor
        self.day = vendor.day
        self._heard = heard
        self._rules = rules
        self._context = context
        self._breaks = vendor.breaks.popleft() if vendor.breaks else None
        self._digested_at_s = 0.0
        self._ear = Ear(
            ms_per_character=vendor.ms_per_character,
            endpoint_ms=vendor.endpoint_ms,
            longest_speech_ms=vendor.longest_speech_ms,
        )

    async def responses(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        await self._vendor.admit(self._context)
        asked = self._heard.asked = await self._opening(requests)
        await self._vendor.bad_day(self._context)
        while (audio := await self._audio(requests)) is not None:
            await self._check(audio)
            for told in self._ear.hear(audio):
                for data in await self._told(told, asked):
                    yield data
        self._heard.half_closed = True
        await asyncio.sleep(self._vendor.settles_after_s)
        for told in self._ear.finish():
            for data in await self._told(told, asked):
                yield data
        if self.day is Day.STALLS:
            await asyncio.Event().wait()

    async def _opening(self, requests: AsyncIterator[bytes]) -> Asked:
        try:
            asked = self._rules.opening(await anext(requests, b""))
        except Wrong as wrong:
            await self._vendor.refuse(self._context, Code.INVALID_ARGUMENT, wrong)
        if untaken := self._vendor.takes_no & asked.fields:
            await not_taken(self._context, Wrong("Recognizer does not support it.", min(untaken)))
        return asked

    async def _audio(self, requests: AsyncIterator[bytes]) -> bytes | None:
        """None: the client has ended its half."""
        try:
            data = await asyncio.wait_for(anext(requests, None), self._vendor.patience_s)
            return None if data is None else self._rules.audio(data)
        except TimeoutError:
            wrong = Wrong("Audio Timeout Error: Long duration elapsed without audio.")
            await self._vendor.refuse(self._context, Code.OUT_OF_RANGE, wrong)
        except Wrong as wrong:
            await self._vendor.refuse(self._context, Code.INVALID_ARGUMENT, wrong)

    async def _check(self, audio: bytes) -> None:
        self._heard.ms += len(audio) // BYTES_PER_MS
        self._heard.messages += 1
        self._heard.silence_ms += audio.count(0xFF) // BYTES_PER_MS
        now_s = asyncio.get_running_loop().time()
        rate = FASTEST * self._vendor.speed
        self._digested_at_s = max(now_s, self._digested_at_s) + len(audio) / BYTES_PER_MS / 1000 / rate
        if self._digested_at_s - now_s > BURST_S / rate:
            await self._vendor.refuse(
                self._context, Code.OUT_OF_RANGE, Wrong("Audio data is being streamed too fast.")
            )
        if self._heard.ms > LONGEST_S * 1000:
            await self._vendor.refuse(
                self._context,
                Code.OUT_OF_RANGE,
                Wrong(f"Exceeded maximum allowed stream duration of {LONGEST_S} seconds."),
            )
        if self._breaks is not None and self._heard.ms >= self._breaks.after_ms:
            self._heard.status = self._breaks.code.name
            await abort(self._context, self._breaks.code, self._breaks.sentence)
        if self.day is Day.CUT and audio.strip(b"\xff"):
            self._vendor.tear(self._context)
            await asyncio.Event().wait()

    async def _told(self, told: Happening, asked: Asked) -> list[bytes]:
        if self.day is Day.STALLS or not is_told(told, asked):
            return []
        if self.day is Day.SLOW:
            await asyncio.sleep(1)
        if self.day is Day.MALFORMED:
            return [MALFORMED]
        final = isinstance(told, Understood) and told.final
        self._vendor.finals += final
        twice = self.day is Day.TWICE and final
        return [self._rules.response(told, asked)] * (2 if twice else 1)


async def not_taken(
    context: Context, wrong: Wrong, code: grpc.StatusCode = Code.INVALID_ARGUMENT
) -> NoReturn:
    violation = error_details_pb2.BadRequest.FieldViolation(field=wrong.field, description=str(wrong))
    await abort(context, code, str(wrong), error_details_pb2.BadRequest(field_violations=[violation]))


async def abort(context: Context, code: grpc.StatusCode, text: str, *details: Any) -> NoReturn:
    told = f"{text}: {CHATTER} {KEY}"
    packed = [AnyMessage() for _ in details]
    for into, one in zip(packed, details, strict=True):
        into.Pack(one)
    status = status_pb2.Status(code=code.value[0], message=told, details=packed)
    await context.abort(code, told, (("grpc-status-details-bin", status.SerializeToString()),))
    raise AssertionError
