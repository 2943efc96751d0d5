"""Connections to one vendor (and one voice, where the vendor ties them), open before a text needs one."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Final

import aiohttp

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import refusal, unreachable, within
from callbot.tts_worker.providers.dialect import ConnectionGone, Dialect
from callbot.tts_worker.providers.warm_socket import Text, WarmSocket

log = logging.getLogger(__name__)

SPARE: Final = 2
"""Texts for which there is always room: a call has two sentences in work."""
BEGINS_FOR_S: Final = 60.0
"""So long after its beginning every call has a place for a text."""
WANTED_FOR_S: Final = 1800.0
"""So long after its last text or the last call's beginning a pool keeps its connections."""
SURPLUS_AFTER_S: Final = 300.0
LONGEST_PAUSE_S: Final = 30.0
SHORT_LIFE_S: Final = 10.0
CONNECTED_WITHIN_S: Final = 10.0

Connect = Callable[[], Awaitable[aiohttp.ClientWebSocketResponse]]


class SocketPool:
    """`connect` opens one, with a heartbeat; it may raise ProviderError."""

    def __init__(self, connect: Connect, dialect: Dialect, *, provider: str) -> None:
        self._connect = connect
        self._dialect = dialect
        self._provider = provider
        self._sockets: set[WarmSocket] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._waiting = 0
        self._failures = 0
        """Connections in a row that could not be opened, or ended at once."""
        self._reason = ""
        self._wanted_s = time.monotonic()
        self._begun_s: deque[float] = deque()
        """When calls began, of the last minute."""
        self._closed = False

    async def warm(self) -> None:
        """Until a text would find a connection. Raises ProviderError."""
        self._wanted_s = time.monotonic()
        self._begun_s.append(self._wanted_s)
        await self._with_room()
        self._keep_ready()

    @property
    def is_idle(self) -> bool:
        """Nobody speaks over it, or is about to."""
        return not self._waiting and all(socket.idle_s for socket in self._sockets)

    async def begin(self, messages: Callable[[str], Sequence[str]], *, until_s: float) -> tuple[Text, bytes]:
        """Asks for a text; returns with its first audio by `until_s` of the loop's time.

        A connection that turns out to be dead is replaced by another one, once. Raises ProviderError.
        """
        self._wanted_s = time.monotonic()
        gone: ConnectionGone | None = None
        for _ in range(2):
            async with by(until_s):
                socket = await self._with_room()
            try:
                return await self._first_audio(socket, messages, until_s)
            except ConnectionGone as e:
                gone = e
        assert gone is not None
        raise gone.error

    async def close(self) -> None:
        self._closed = True
        tasks = self._tasks | self._connecting
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _first_audio(
        self, socket: WarmSocket, messages: Callable[[str], Sequence[str]], until_s: float
    ) -> tuple[Text, bytes]:
        async with by(until_s):
            text = await socket.begin(messages)
        self._spawn(socket.prepare())
        self._keep_ready()
        try:
            async with by(until_s):
                audio = await text.more()
        except BaseException as e:
            late = isinstance(e, ProviderError) and e.code == "too_slow"
            self._spawn(text.give_up() if late else text.stop())
            raise
        self._failures = 0
        return text, audio

    async def _with_room(self) -> WarmSocket:
        """The one with the most room; waits for a new one where there is none. Raises ProviderError."""
        self._waiting += 1
        try:
            while True:
                best = max(self._sockets, key=lambda s: s.room, default=None)
                if best is not None and best.room:
                    return best
                if len(self._connecting) * self._dialect.at_once < self._waiting:
                    self._begin_connecting()
                done, _ = await asyncio.wait(self._connecting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if error := unreachable(ConnectionError()) if task.cancelled() else task.exception():
                        raise error
        finally:
            self._waiting -= 1

    def _begin_connecting(self) -> asyncio.Task[None]:
        # Connections outlive the call that they are opened for: what is logged of them is not of that call.
        task = asyncio.create_task(self._open(), context=Context())
        self._connecting.add(task)
        task.add_done_callback(self._connected)
        return task

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        if not task.cancelled():
            # Read once, so that an error that nobody waits for is not complained about.
            self._failures += task.exception() is not None

    async def _open(self) -> None:
        async with within(CONNECTED_WITHIN_S):
            ws = await self._connect()
        socket = WarmSocket(ws, self._dialect, on_tick=self._look_after)
        self._sockets.add(socket)
        self._spawn(self._run(socket))
        await socket.prepare()

    async def _run(self, socket: WarmSocket) -> None:
        began_s = time.monotonic()
        try:
            by_vendor = await socket.run()
        finally:
            self._sockets.discard(socket)
        if socket.has_spoken or time.monotonic() - began_s > SHORT_LIFE_S:
            self._failures = 0
        elif by_vendor:
            self._failures += 1
        self._keep_ready()

    @property
    def _wanted(self) -> bool:
        return not self._closed and time.monotonic() - self._wanted_s < WANTED_FOR_S

    @property
    def _room(self) -> int:
        return sum(socket.room for socket in self._sockets)

    @property
    def _missing(self) -> int:
        """For how many texts there should be places and are none."""
        while self._begun_s and self._begun_s[0] < time.monotonic() - BEGINS_FOR_S:
            self._begun_s.popleft()
        places = sum(socket.places for socket in self._sockets)
        return max(SPARE - self._room, len(self._begun_s) - places)

    def _keep_ready(self) -> None:
        if self._wanted and self._missing > 0 and (self._keeping is None or self._keeping.done()):
            self._keeping = self._spawn(self._until_ready())

    async def _until_ready(self) -> None:
        while self._wanted and self._missing > 0:
            if self._failures:
                await asyncio.sleep(min(LONGEST_PAUSE_S, 2.0 ** min(self._failures - 1, 10)))
            number = max(0, -(-self._missing // self._dialect.at_once))
            tasks = [self._begin_connecting() for _ in range(number)]
            error = next((e for e in await _errors(tasks) if e), None)
            reason = str(error or "")
            if error and reason != self._reason:
                about = {"provider": self._provider, "reason": reason}
                log.warning("no connection to a provider", extra=about)
            self._reason = reason
            if isinstance(error, ProviderError) and not error.retryable:
                # The next text or call tries again.
                return

    def _look_after(self, socket: WarmSocket) -> None:
        """From time to time, by each connection."""
        if socket.idle_s == 0:
            return
        surplus = socket.idle_s > SURPLUS_AFTER_S and self._missing + socket.places <= 0
        if not self._wanted or surplus:
            socket.retire()
        elif socket.idle_s >= self._dialect.replaced_after_s:
            self._spawn(self._replace(socket))

    async def _replace(self, socket: WarmSocket) -> None:
        if not any(await _errors([self._begin_connecting()])):
            socket.retire()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _errors(tasks: Sequence[asyncio.Task[None]]) -> list[BaseException | None]:
    """Of each when all have ended."""
    if tasks:
        await asyncio.wait(tasks)
    return [asyncio.CancelledError() if task.cancelled() else task.exception() for task in tasks]


@asynccontextmanager
async def by(at_s: float) -> AsyncIterator[None]:
    """Raises ProviderError `too_slow` at that time of the loop."""
    try:
        async with asyncio.timeout_at(at_s):
            yield
    except TimeoutError:
        raise ProviderError("too_slow", "no audio in time", retryable=True) from None


async def all_audio(text: Text, first: bytes, within_s: float) -> AsyncGenerator[bytes, None]:
    """What `SocketPool.begin` gave, and all that follows. Raises ProviderError."""
    audio = first
    try:
        while audio:
            yield audio
            try:
                async with within(within_s):
                    audio = await text.more()
            except ProviderError as e:
                if e.code == "too_slow":
                    await text.give_up()
                raise
    finally:
        await text.stop()


async def opened(
    session: aiohttp.ClientSession, url: str, *, headers: dict[str, str], params: dict[str, str]
) -> aiohttp.ClientWebSocketResponse:
    """A WebSocket. Raises ProviderError, which has none of the request in it: that holds the key."""
    try:
        return await session.ws_connect(
            url,
            headers=headers,
            params=params,
            heartbeat=20.0,
            timeout=aiohttp.ClientWSTimeout(ws_close=0.5),
        )
    except aiohttp.WSServerHandshakeError as e:
        error = refusal(e.status, retry_after=e.headers.get("Retry-After") if e.headers else None)
    except (aiohttp.ClientError, OSError) as e:
        error = unreachable(e)
    raise error
