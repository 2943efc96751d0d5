"""The connections of one voice of Deepgram's, open before a text needs one."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from contextvars import Context
from typing import Any, Final

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import within
from callbot.tts_worker.providers.deepgram_socket import PROVIDER, ConnectionGone, DeepgramSocket

log = logging.getLogger(__name__)

WANTED_FOR_S: Final = 1800.0
"""So long after its last text or the last call's beginning there is one."""
SURPLUS_AFTER_S: Final = 60.0
"""More than one is not kept idle for longer: the vendor counts connections."""
LOOK_EVERY_S: Final = 10.0
LONGEST_PAUSE_S: Final = 30.0
CONNECTED_WITHIN_S: Final = 5.0


class DeepgramSockets:
    """`connect` raises ProviderError."""

    def __init__(self, connect: Callable[[], Awaitable[DeepgramSocket]]) -> None:
        self._connect = connect
        self._sockets: set[DeepgramSocket] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opening: asyncio.Task[DeepgramSocket | ProviderError] | None = None
        self._changed = asyncio.Event()
        self._wanted_s = float("-inf")
        self._failures = 0
        self._spawn(self._keep())

    async def warm(self) -> None:
        """Until a text would find a connection. Raises ProviderError."""
        self._wanted_s = time.monotonic()
        if self._with_room() is None:
            opened = await asyncio.shield(self._open_one())
            if isinstance(opened, ProviderError):
                raise opened

    @property
    def is_speaking(self) -> bool:
        return any(not socket.is_free for socket in self._sockets)

    @property
    def pause_s(self) -> float:
        """Before the next attempt: calls fail too, and a vendor can be away for thousands of them."""
        return min(LONGEST_PAUSE_S, 2.0 ** min(self._failures - 1, 10))

    async def speak(self, text: str, until_s: float, next_within_s: float) -> AsyncGenerator[bytes, None]:
        """First audio by `until_s` of the loop's time.

        A connection that turns out to be dead is replaced by another one, once. Raises ProviderError."""
        self._wanted_s = time.monotonic()
        loop = asyncio.get_running_loop()
        for last in (False, True):
            async with within(max(0.0, until_s - loop.time())):
                socket = self._with_room() or await self._own()
            try:
                async with aclosing(socket.speak(text, until_s, next_within_s)) as chunks:
                    # Not free any more, so that this is the time for the next one's.
                    self._changed.set()
                    async for chunk in chunks:
                        yield chunk
                return
            except ConnectionGone as e:
                failure = e.error
            finally:
                if not socket.is_free:
                    self._sockets.discard(socket)
                    self._spawn(socket.leave())
                self._changed.set()
            if last:
                raise failure

    async def close(self) -> None:
        leaving = [self._spawn(socket.leave()) for socket in self._sockets]
        if leaving:
            await asyncio.wait(leaving)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _with_room(self) -> DeepgramSocket | None:
        """The one used last: the others may become surplus."""
        free = [socket for socket in self._sockets if socket.has_room]
        return max(free, key=lambda socket: socket.idle_since_s, default=None)

    async def _own(self) -> DeepgramSocket:
        """A new one, that nobody else takes. Raises ProviderError."""
        socket = await self._connect()
        self._add(socket)
        return socket

    def _add(self, socket: DeepgramSocket) -> None:
        self._sockets.add(socket)
        self._spawn(self._run(socket))

    async def _run(self, socket: DeepgramSocket) -> None:
        try:
            await socket.run()
        finally:
            self._sockets.discard(socket)
            self._changed.set()

    def _open_one(self) -> "asyncio.Task[DeepgramSocket | ProviderError]":
        if self._opening is None or self._opening.done():
            self._opening = self._spawn(self._opened())
        return self._opening

    async def _opened(self) -> DeepgramSocket | ProviderError:
        try:
            async with within(CONNECTED_WITHIN_S):
                socket = await self._connect()
        except ProviderError as e:
            self._failures += 1
            if self._failures == 1:
                log.warning("no connection to a provider", extra={"provider": PROVIDER, "reason": str(e)})
            return e
        self._failures = 0
        self._add(socket)
        return socket

    async def _keep(self) -> None:
        """There is always one with room while this voice is wanted, and not many more."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._changed.wait()
            except TimeoutError:
                self._leave_surplus()
            self._changed.clear()
            if time.monotonic() - self._wanted_s > WANTED_FOR_S or self._with_room() is not None:
                continue
            if self._failures:
                await asyncio.sleep(self.pause_s)
            if self._with_room() is None and isinstance(await self._open_one(), ProviderError):
                self._changed.set()

    def _leave_surplus(self) -> None:
        now_s = time.monotonic()
        wanted = now_s - self._wanted_s < WANTED_FOR_S
        free = sorted((s for s in self._sockets if s.has_room), key=lambda s: s.idle_since_s)
        for socket in free[:-1] if wanted else free:
            if now_s - socket.idle_since_s > SURPLUS_AFTER_S:
                self._sockets.discard(socket)
                self._spawn(socket.leave())

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        # Connections outlive the call that they are opened for: what is logged of them is not of that call.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
