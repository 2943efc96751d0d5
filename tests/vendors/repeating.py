"""A server that refuses everything, each time in another way, and repeats all that it was shown."""

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from aiohttp import WSMsgType, web

from tests.vendors.http_audio import abort

STATUSES = (401, 402, 403, 404, 429, 500, 503)
LONGEST_REASON = 120
Way = Callable[[web.Request, str], Awaitable[web.StreamResponse]]


class Repeating:
    """`app()` for the address of any vendor over HTTP or WebSocket."""

    def __init__(self) -> None:
        self.shown: set[str] = set()
        """Every header's value, query and body that came."""
        self._asked: Counter[str] = Counter()
        self._ways: list[Way] = [*map(_status, STATUSES), _page, _no_json, _elsewhere, _torn]
        self._sockets: list[Way] = [
            _told_and_closed, _status(401), _babbles, _status(429), _torn, _status(500), _told_and_torn,
        ]  # fmt: skip

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 24)
        app.add_routes([web.route("*", "/{anything:.*}", self._refuse)])
        return app

    async def _refuse(self, request: web.Request) -> web.StreamResponse:
        self.shown.update(request.headers.values(), request.query.values())
        told = " ".join(
            value for name, value in request.headers.items() if name.lower() not in ("host", "accept")
        )
        path = request.path
        at, self._asked[path] = self._asked[path], self._asked[path] + 1
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._sockets[at % len(self._sockets)](request, told)
        self.shown.add((await request.read()).decode(errors="replace"))
        return await self._ways[at % len(self._ways)](request, told)


def _status(status: int) -> Way:
    async def answer(_: web.Request, told: str) -> web.StreamResponse:
        coded = base64.b64encode(told.encode()).decode()
        error = {"message": told, "code": told.split()[-1], "type": told, "status": told, "detail": coded}
        headers = {"X-Error": told, "dg-error": told, "WWW-Authenticate": told, "Retry-After": told}
        body = {"error": error, "detail": error, "err_msg": told, "message": told, "__type": told}
        return web.json_response(body, status=status, reason=told, headers=headers)

    return answer


async def _page(_: web.Request, told: str) -> web.StreamResponse:
    return web.Response(text=f"<html>{told}</html>", content_type="text/html")


async def _no_json(_: web.Request, told: str) -> web.StreamResponse:
    return web.Response(text=f'{{"error": "{told}', content_type="application/json")


async def _elsewhere(request: web.Request, told: str) -> web.StreamResponse:
    raise web.HTTPFound(f"{request.url.origin()}/elsewhere?was={quote(told)}")


async def _torn(request: web.Request, told: str) -> web.StreamResponse:
    abort(request)
    return web.Response(text=told)


async def _socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    return socket


async def _told_and_closed(request: web.Request, told: str) -> web.StreamResponse:
    socket = await _socket(request)
    error = {"type": "error", "error": told, "message": told, "code": told, "error_code": told}
    await socket.send_json({**error, "description": told, "done": True, "status_code": 401})
    await socket.close(code=1008, message=told.encode()[-LONGEST_REASON:])
    return socket


async def _babbles(request: web.Request, told: str) -> web.StreamResponse:
    socket = await _socket(request)
    await socket.send_str(f"{told} {{")
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(f"{told} {{")
    return socket


async def _told_and_torn(request: web.Request, told: str) -> web.StreamResponse:
    socket = await _socket(request)
    await socket.send_json({"type": "Error", "message": told, "variant": told})
    await asyncio.sleep(0)
    abort(request)
    return socket
