"""One StreamingRecognize of Google: the call's audio from one position on, until it is cut; responses in."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import grpc

from callbot.runtime.errors import ProviderError
from callbot.schemas.audio import BYTES_PER_MS, SILENCE_BYTE
from callbot.stt_worker.providers import google_errors
from callbot.stt_worker.providers.google_audio import BURST_MS, RUN_MS, CallAudio, Pace, StreamClock
from callbot.stt_worker.providers.google_errors import StreamError
from callbot.stt_worker.providers.google_transcript import Part
from callbot.stt_worker.providers.google_wire import Dialect, Response

PIECE_MS: Final = 100
"""As Google advises: cloud.google.com/speech-to-text/docs/best-practices."""
LARGEST_PIECE_MS: Final = 1600
"""12.8 KB: a message may have 15."""
KEEP_ALIVE_S: Final = 1.0
"""After ten seconds without audio Google ends a stream."""
WRITE_S: Final = 5.0
SETTLE_S: Final = 10.0
"""A stream that was told its end, and has not ended by then, is stuck."""
STREAM_S: Final = 330.0
"""No stream lives so long."""
_AIO: Any = grpc.aio
"""Its types know neither its EOF nor calls that write and read."""
RUN: Final = RUN_MS * BYTES_PER_MS


@dataclass(frozen=True, slots=True)
class Line:
    """A warm channel to one version of the interface."""

    channel: grpc.aio.Channel
    dialect: Dialect
    metadata: Callable[[], tuple[tuple[str, str], ...]]
    """Who we are. Raises ProviderError."""
    speed: float = 1.0
    """How much faster than ours the vendor's time runs: more than 1 only at a server of the tests."""
    refused: set[str] = field(default_factory=set)
    """What the model was seen not to take."""

    def call(self) -> Any:
        method: Any = self.channel.stream_stream(self.dialect.method, None, None)
        return method(metadata=self.metadata(), timeout=STREAM_S)


class Listener(Protocol):
    def on_response(self, hearing: "Hearing", response: Response) -> None: ...

    def on_end(self, hearing: "Hearing", error: StreamError | None) -> None:
        """None: with the status OK."""

    def on_idle(self) -> None:
        """No audio has come for a while, and silence was sent in its place."""


class Hearing:
    def __init__(
        self, line: Line, opening: bytes, audio: CallAudio, part: Part, begin: int, listener: Listener
    ) -> None:
        self.part = part
        self.clock = StreamClock()
        self.at = begin
        """Until here the call was sent."""
        self.until: int | None = None
        """Here it ends."""
        self._line = line
        self._opening = opening
        self._audio = audio
        self._listener = listener
        self._pace = Pace(line.speed)
        self._push_until = -1
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._given_up: StreamError | None = None
        self._dropped = False
        self._begun_s: float | None = None

    @property
    def begun(self) -> bool:
        return self._begun_s is not None

    @property
    def age_ms(self) -> float:
        """Google counts audio and time."""
        begun_s = self._begun_s
        return 0.0 if begun_s is None else max(self.clock.sent_ms, (time.monotonic() - begun_s) * 1000)

    def start(self) -> None:
        """It listens from now on, if it does not already."""
        if self._task is None and not self._dropped:
            self._begun_s = time.monotonic()
            self._task = asyncio.create_task(self._run())

    def hear_more(self) -> None:
        if self._audio.end - self.at >= PIECE_MS * BYTES_PER_MS or self.at < self._push_until:
            self._more.set()

    def push(self, until: int) -> None:
        """What is there until then is sent at once, be it ever so little."""
        self._push_until = max(self._push_until, until)
        self._more.set()

    def cut(self, until: int) -> None:
        """Hears until there, is told that this is the end, and settles all."""
        self.until = until
        self._more.set()
        self.start()

    def drop(self) -> None:
        """It is of no use any more."""
        self._dropped = True
        if self._task is not None:
            self._task.cancel()

    async def closed(self) -> None:
        self.drop()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        call = sending = None
        error: StreamError | None = None
        try:
            call = self._line.call()
            ending = google_errors.Ending(call)
            sending = asyncio.create_task(self._send(call))
            while (data := await call.read()) is not _AIO.EOF:
                self._listener.on_response(self, self._response(data))
        except asyncio.CancelledError:
            if self._given_up is None:
                raise
            error = self._given_up
        except grpc.aio.AioRpcError as e:
            error = self._given_up or ending.error(e)
        except ProviderError as e:
            error = google_errors.as_stream_error(e)
        finally:
            if sending is not None:
                sending.cancel()
            if call is not None:
                call.cancel()
        if not self._dropped:
            self._listener.on_end(self, error)

    def _response(self, data: bytes) -> Response:
        try:
            response = self._line.dialect.response(data)
        except ValueError:
            raise google_errors.malformed() from None
        if response.error_code:
            raise google_errors.of_number(response.error_code)
        return response

    async def _send(self, call: Any) -> None:
        # Whoever has ended the stream has told why to the one who reads.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._write(call, call.write(self._opening))
            while (piece := await self._next_piece()) is not None:
                await self._write(call, call.write(self._line.dialect.audio(piece)))
            await self._write(call, call.done_writing())
            await asyncio.sleep(SETTLE_S)
            self._give_up(call, "it does not settle what it has heard")

    async def _write(self, call: Any, writing: Any) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                await writing
        except TimeoutError:
            self._give_up(call, "it takes no audio")
            raise asyncio.InvalidStateError from None

    def _give_up(self, call: Any, why: str) -> None:
        self._given_up = google_errors.too_slow(why)
        call.cancel()

    async def _next_piece(self) -> bytes | None:
        """None: that was the last."""
        while True:
            self._leave_out_silence()
            end = self._audio.end if self.until is None else min(self._audio.end, self.until)
            size = min(end - self.at, LARGEST_PIECE_MS * BYTES_PER_MS)
            if self.until is not None and self.at >= self.until:
                return None
            if size >= PIECE_MS * BYTES_PER_MS or (size > 0 and self._is_pushed()):
                return await self._piece(size)
            self._more.clear()
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await self._more.wait()
            except TimeoutError:
                return self._silence()

    def _is_pushed(self) -> bool:
        return self.until is not None or self.at < self._push_until

    async def _piece(self, size: int) -> bytes:
        wait_s = self._pace.wait_s(time.monotonic(), size / BYTES_PER_MS)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        begin = self.at
        piece = self._audio.between(begin, begin + size)
        self.at += size
        self.clock.sent_call(begin, size)
        return piece

    def _silence(self) -> bytes:
        ms = round(KEEP_ALIVE_S * 1000)
        self._pace.wait_s(time.monotonic(), ms)
        self.clock.sent_filler(self.at, ms * BYTES_PER_MS)
        self._listener.on_idle()
        return bytes([SILENCE_BYTE]) * (ms * BYTES_PER_MS)

    def _leave_out_silence(self) -> None:
        """Behind the call, pure silence is what nobody will miss."""
        end = self._audio.end if self.until is None else self.until
        if end - self.at < BURST_MS / 2 * self._line.speed * BYTES_PER_MS:
            return
        silence = self._audio.silence_at(self.at, end)
        if silence > RUN:
            self.at += silence - RUN // 2
