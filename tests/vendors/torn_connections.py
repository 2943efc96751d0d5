"""Passes TCP connections on to a server that cannot tear them itself."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class TornConnections:
    """Use as an async context manager."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._server: asyncio.Server | None = None
        self._clients: dict[int, asyncio.StreamWriter] = {}
        self._passing: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0
        self._arrived = asyncio.Condition()

    def tear(self, port: int) -> None:
        """The connection that the server sees as coming from this port: the client's end is reset."""
        self._clients[port].transport.abort()

    def tear_all(self) -> None:
        for client in self._clients.values():
            client.transport.abort()

    async def until_accepted(self, count: int) -> None:
        """Returns when there have been so many connections, open ones and others."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: self.accepted >= count)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for passing in self._passing:
            passing.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)
        # An aborted transport is closed in the loop's next turn.
        await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing = asyncio.create_task(self._pass_on(reader, writer))
        self._passing.add(passing)
        passing.add_done_callback(self._passing.discard)
        # Also when it is cancelled before it has begun.
        passing.add_done_callback(lambda _: writer.transport.abort())

    async def _pass_on(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._clients[to_server.get_extra_info("sockname")[1]] = to_client
        async with self._arrived:
            self.accepted += 1
            self._arrived.notify_all()
        ways = [
            asyncio.create_task(_copy(from_client, to_server)),
            asyncio.create_task(_copy(from_server, to_client)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_server.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
