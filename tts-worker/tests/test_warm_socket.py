"""A vendor that sends what nobody has foreseen: the text is told at once, and the connection closed."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from callbot.runtime.errors import ProviderError
from callbot.tts_worker.providers.deepgram_socket import DeepgramSocket
from callbot.tts_worker.providers.elevenlabs_wire import MultiContext
from callbot.tts_worker.providers.socket_pool import SocketPool

TOO_DEEP = "[" * 200_000
"""Not a ValueError of the decoder, but a RecursionError."""
PATIENCE_S = 20.0


class Vendor:
    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def answer(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            if json.loads(message.data).get("text", "").strip():
                await ws.send_str(TOO_DEEP)
        self.closed.set()
        return ws


@pytest.fixture
async def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
async def ws(vendor: Vendor) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    app = web.Application()
    app.router.add_get("/", vendor.answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield await session.ws_connect(server.make_url("/"))


async def test_of_several_texts_at_once(vendor: Vendor, ws: aiohttp.ClientWebSocketResponse) -> None:
    dialect = MultiContext()

    async def connected() -> aiohttp.ClientWebSocketResponse:
        return ws

    pool = SocketPool(connected, dialect, provider="elevenlabs")
    until_s = asyncio.get_running_loop().time() + PATIENCE_S
    with pytest.raises(ProviderError, match="malformed"):
        await pool.begin(lambda context: dialect.say(context, "Hello."), until_s=until_s)
    await asyncio.wait_for(vendor.closed.wait(), PATIENCE_S)
    await pool.close()


async def test_of_one_text(vendor: Vendor, ws: aiohttp.ClientWebSocketResponse) -> None:
    socket = DeepgramSocket(ws)
    running = asyncio.create_task(socket.run())
    until_s = asyncio.get_running_loop().time() + PATIENCE_S
    with pytest.raises(ProviderError, match="malformed"):
        await anext(socket.speak("Hello.", until_s, PATIENCE_S))
    await running
    await socket.leave()
