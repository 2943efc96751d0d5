"""One WebSocket to Deepgram: the call's audio out at the pace that it allows, its messages in."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from callbot.runtime.errors import ProviderError
from callbot.schemas.audio import BYTES_PER_MS, SILENCE_BYTE
from callbot.stt_worker.providers import deepgram_errors
from callbot.stt_worker.providers.deepgram_audio import CallClock, Outbox, Overflow, Pace

SEND_S: Final = 5.0
CLOSE_S: Final = 0.4
CLOSE_STREAM: Final = '{"type": "CloseStream"}'
PING_S: Final = 10.0
"""A connection that is dead without a word is noticed by then."""
log = logging.getLogger(__name__)

Hear = Callable[[Mapping[str, Any]], None]
"""One message of the vendor. Raises ProviderError, or ValueError when it is none of the protocol."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How one kind of connection wants its audio."""

    piece_ms: int
    """Sent in one message, where so much is there."""
    speed: float
    """Times real time, at most."""
    idle_s: float
    """After so long without audio it is told that we are still there."""
    idle_message: str
    """Empty: silence in the place of a message."""


class Connection:
    """Broken once, broken for good: everything that is asked of it from then on raises that error."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, manner: Manner) -> None:
        self.clock = CallClock()
        self._socket = socket
        self._manner = manner
        self._outbox = Outbox()
        self._pace = Pace(manner.speed)
        self._push_until_ms = -1
        self._sending = False
        self._leaving = False
        self._error: ProviderError | None = None
        self._news = asyncio.Event()
        self._audio_waits = asyncio.Event()

    @asynccontextmanager
    async def running(self, hear: Hear) -> AsyncIterator[None]:
        """Sends and receives meanwhile; then says goodbye and closes."""
        sending = asyncio.create_task(self._works(self._send_for_ever()))
        receiving = asyncio.create_task(self._works(self._receive_for_ever(hear)))
        try:
            yield
        finally:
            self._leaving = True
            sending.cancel()
            try:
                await self._say_goodbye(receiving)
            finally:
                receiving.cancel()
                await asyncio.gather(sending, receiving, return_exceptions=True)
                await self._close()

    def send_audio(self, from_ms: int, audio: bytes) -> None:
        """Never blocks: it waits in line."""
        if self._error is not None:
            return
        try:
            self._outbox.put(from_ms, audio)
        except Overflow:
            self._fail(ProviderError("too_slow", "it takes audio too slowly", retryable=True))
        self._audio_waits.set()

    async def push(self, to_ms: int) -> None:
        """Returns when all that was given until there is sent. Raises ProviderError."""
        self._push_until_ms = max(self._push_until_ms, to_ms)
        self._audio_waits.set()
        await self.until(lambda: self._is_sent(to_ms))

    async def say(self, message: str) -> None:
        """Raises ProviderError."""
        self._check()
        try:
            async with asyncio.timeout(SEND_S):
                await self._socket.send_str(message)
        except (OSError, RuntimeError, TimeoutError) as e:
            self._fail(deepgram_errors.lost(e))
        self._check()

    async def until(self, holds: Callable[[], bool], within_s: float | None = None) -> bool:
        """Whether it holds by then; it is looked at whenever there is news. Raises ProviderError."""
        deadline_s = None if within_s is None else asyncio.get_running_loop().time() + within_s
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline_s):
                while True:
                    self._check()
                    if holds():
                        return True
                    await self._news.wait()
        self._check()
        return holds()

    async def lost(self) -> ProviderError:
        """Returns when it is broken."""
        while self._error is None:
            await self._news.wait()
        return self._error

    def _is_sent(self, to_ms: int) -> bool:
        nothing_left = not self._outbox.waiting_bytes and not self._sending
        return nothing_left or (self.clock.sent_ms or 0) >= to_ms

    def _check(self) -> None:
        if self._error is not None:
            # Anew each time: a traceback grows with every raise.
            e = self._error
            raise ProviderError(e.code, e.message, retryable=e.retryable, retry_after_s=e.retry_after_s)

    def _fail(self, error: ProviderError) -> None:
        if self._error is None:
            self._error = error
            if not self._leaving:
                log.info("Deepgram's stream is lost", extra={"reason": str(error)})
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _works(self, work: Coroutine[Any, Any, None]) -> None:
        """Whatever ends it ends the connection. Its text may be a caller's words."""
        try:
            await work
        except Exception as e:
            self._fail(deepgram_errors.lost(e))

    async def _send_for_ever(self) -> None:
        while self._error is None:
            if self._has_a_piece():
                await self._send_piece()
            elif not await self._more_audio():
                await self._send_idle()

    def _has_a_piece(self) -> bool:
        begin_ms = self._outbox.begin_ms
        if begin_ms is None:
            return False
        whole = self._outbox.waiting_bytes >= self._manner.piece_ms * BYTES_PER_MS
        return whole or begin_ms < self._push_until_ms

    async def _more_audio(self) -> bool:
        """False: none has come for so long that the vendor would lose patience."""
        self._audio_waits.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._manner.idle_s):
                await self._audio_waits.wait()
            return True
        return False

    async def _send_piece(self) -> None:
        begin, piece = self._outbox.take(self._manner.piece_ms * BYTES_PER_MS)
        self._sending = True
        wait_s = self._pace.wait_s(time.monotonic(), len(piece) / BYTES_PER_MS)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        # Before it is sent: its words may be here before the sending has returned.
        self.clock.sent(begin, len(piece))
        await self._send_bytes(piece)
        self._sending = False
        self._tell()

    async def _send_idle(self) -> None:
        if self._manner.idle_message:
            async with asyncio.timeout(SEND_S):
                await self._socket.send_str(self._manner.idle_message)
            return
        filler = bytes([SILENCE_BYTE]) * round(self._manner.idle_s * 1000 * BYTES_PER_MS)
        self._pace.wait_s(time.monotonic(), len(filler) / BYTES_PER_MS)
        self.clock.sent_filler(len(filler))
        await self._send_bytes(filler)

    async def _send_bytes(self, audio: bytes) -> None:
        async with asyncio.timeout(SEND_S):
            await self._socket.send_bytes(audio)

    async def _receive_for_ever(self, hear: Hear) -> None:
        """Waits as long as the connection lives: that is what the ping is for."""
        while self._error is None:
            message = await self._socket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    self._received(message.data, hear)
                case aiohttp.WSMsgType.CLOSE:
                    self._fail(deepgram_errors.of_close(message.data, message.extra or ""))
                case aiohttp.WSMsgType.BINARY:
                    self._fail(deepgram_errors.malformed("a binary message"))
                case _:
                    self._fail(deepgram_errors.of_close(self._socket.close_code, ""))

    def _received(self, text: str, hear: Hear) -> None:
        try:
            message = json.loads(text)
            if not isinstance(message, dict):
                raise TypeError
            hear(message)
        except ProviderError as e:
            self._fail(e)
        except (ValueError, TypeError):
            self._fail(deepgram_errors.malformed("a message that the protocol does not have"))
        self._tell()

    async def _say_goodbye(self, receiving: asyncio.Task[None]) -> None:
        """Deepgram ends what it has begun, and the connection, when it is told."""
        if self._error is None:
            with suppress(OSError, RuntimeError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._socket.send_str(CLOSE_STREAM)
                    await asyncio.wait({receiving})

    async def _close(self) -> None:
        """Who does not answer is left."""
        with suppress(OSError, RuntimeError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close()
