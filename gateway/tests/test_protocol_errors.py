"""What is no HTTP request: an error of our shape, and no word about what we are made of."""

import asyncio
import json

import pytest
from aiohttp import web

from callbot.gateway.errors import errors_as_json, mark_response
from callbot.gateway.main import public_site
from callbot.gateway.settings import Settings
from tests.servers import free_port


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["long", "header", "tls", "length"],
)
async def test_what_is_no_request_gets_an_error_of_our_shape(sent: bytes) -> None:
    app = web.Application(middlewares=[errors_as_json])
    app.on_response_prepare.append(mark_response)
    settings = Settings(port=free_port())
    async with public_site(settings, app):
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.port)
        writer.write(sent)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert json.loads(body)["error"]["code"] == "invalid_request"
    assert b"aiohttp" not in answer and b"X-Request-Id: req_" in head
