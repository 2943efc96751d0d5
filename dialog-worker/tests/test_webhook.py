"""The customer's webhook, played by a real server on its good and bad days."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook import WebhookOutcome, open_webhooks
from callbot.runtime.webhook_address import NOT_A_URL, NOT_HTTPS, NOT_PUBLIC, NUMBERS
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.webhook import Action, WebhookRequest

SECRET = "s3cret-s3cret-s3cret"
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
Ask = Callable[..., Awaitable[WebhookOutcome]]


@pytest.fixture
def ask(settings_with: Callable[..., Settings], webhook_request: WebhookRequest) -> Ask:
    async def ask(url: str, **changes: object) -> WebhookOutcome:
        async with open_webhooks(settings_with(**changes), None) as webhooks:
            return await webhooks.ask(url, SECRET, webhook_request, "public")

    return ask


@pytest.fixture
def answer(serve: Serve, ask: Ask) -> Ask:
    """What becomes of this answer of the customer's?"""

    async def outcome(*args: Any, **kwargs: Any) -> WebhookOutcome:
        async def handle(_: web.Request) -> web.Response:
            return web.Response(*args, **kwargs)

        return await ask(await serve(handle))

    return outcome


async def test_the_request_is_the_contract(serve: Serve, ask: Ask, webhook_request: WebhookRequest) -> None:
    got: dict[str, Any] = {}

    async def handle(request: web.Request) -> web.Response:
        got.update(
            method=request.method, path=request.path_qs, headers=request.headers, body=await request.read()
        )
        return web.json_response({"say": "Got it! Name please?"})

    outcome = await ask(await serve(handle) + "/hook?a=b")
    assert outcome.status is WebhookStatus.OK
    assert outcome.answer is not None
    assert (outcome.answer.say, outcome.answer.action) == ("Got it! Name please?", Action.CONTINUE)
    assert (got["method"], got["path"]) == ("POST", "/hook?a=b")
    assert json.loads(got["body"]) == {
        "bot_id": "abc123",
        "user_text": "Table for 4 at 7PM",
        "llm_suggestion": "Ask for name and phone",
        "history": [{"role": "user", "content": "Hi"}, {"role": "bot", "content": "Hello! How can I help?"}],
        "timestamp": "2025-04-05T10:05:00Z",
        "call_id": "CA" + "0" * 32,
        "turn_id": "CA" + "0" * 32 + ".3",
        "from": "+14155550100",
        "to": "+14155551234",
        "language": "en-US",
    }
    headers = got["headers"]
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == webhook_request.turn_id
    assert "CallBot" in headers["User-Agent"]
    signed = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["X-Callbot-Signature"])
    assert signed is not None
    expected = hmac.new(SECRET.encode(), signed[1].encode() + b"." + got["body"], hashlib.sha256).hexdigest()
    assert signed[2] == expected


async def test_html_with_200_is_no_answer(answer: Ask) -> None:
    outcome = await answer(text="<html>It works!</html>", content_type="application/json")
    assert (outcome.status, outcome.detail) == (WebhookStatus.INVALID, "the answer is not JSON")
    assert outcome.http_status == 200


async def test_the_content_type_does_not_matter(answer: Ask) -> None:
    outcome = await answer(text='{"say": "Yes", "action": "dance"}', content_type="text/html")
    assert (outcome.status, outcome.detail) == (WebhookStatus.OK, "unknown action, taken as continue")


@pytest.mark.parametrize("status", [304, 400, 404, 500, 503])
async def test_other_statuses(answer: Ask, status: int) -> None:
    outcome = await answer(text='{"say": "Hi"}', status=status)
    assert (outcome.status, outcome.detail) == (WebhookStatus.BAD_STATUS, f"HTTP {status}")
    assert outcome.http_status == status


async def test_a_redirect_is_not_followed(serve: Serve, ask: Ask) -> None:
    paths = []

    async def handle(request: web.Request) -> web.Response:
        paths.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    outcome = await ask(await serve(handle))
    assert (outcome.status, outcome.detail) == (WebhookStatus.BAD_STATUS, "HTTP 307")
    assert paths == ["/"]


@pytest.mark.parametrize("declared", [True, False])
async def test_a_hundred_megabytes_are_not_read(serve: Serve, ask: Ask, declared: bool) -> None:
    written = 0
    gone = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(headers={"Content-Length": str(100 << 20)} if declared else {})
        await response.prepare(request)
        try:
            for _ in range(1600):
                await response.write(b'{"say": "' + b"a" * 65_536)
                written += 65_536
        except (ConnectionError, asyncio.CancelledError):
            gone.set()
            raise
        return response

    outcome = await ask(await serve(handle))
    assert (outcome.status, outcome.answer) == (WebhookStatus.TOO_LARGE, None)
    await asyncio.wait_for(gone.wait(), 5)
    assert written < 16 << 20, "no more than what lies in the sockets' buffers"


async def test_64_kib_are_still_read(answer: Ask) -> None:
    body = json.dumps({"say": "Hi"})
    outcome = await answer(text=body + " " * (65_536 - len(body)))
    assert outcome.status is WebhookStatus.OK


async def test_a_slow_answer_and_a_trickle(serve: Serve, ask: Ask) -> None:
    gone = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        raise AssertionError

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    for handle in (silent, trickle):
        outcome = await ask(await serve(handle), webhook_s=0.2)
        assert (outcome.status, outcome.detail) == (WebhookStatus.TIMEOUT, "no answer within 0.2 s")
    await asyncio.wait_for(gone.wait(), 5)


async def test_nobody_listens_there(ask: Ask) -> None:
    outcome = await ask("http://127.0.0.1:9/")
    assert outcome.status is WebhookStatus.UNREACHABLE
    assert outcome.detail == "the connection was refused or failed"


async def test_a_broken_answer(serve: Serve, ask: Ask) -> None:
    calls = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    outcome = await ask(await serve(handle))
    assert outcome.status is WebhookStatus.UNREACHABLE
    assert calls == 2, "a connection that is closed without an answer is tried once more"


async def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing(
    serve: Serve, settings_with: Callable[..., Settings], webhook_request: WebhookRequest
) -> None:
    keys = []

    async def handle(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 2:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"say": "Hi"})

    url = await serve(handle)
    async with open_webhooks(settings_with(), None) as webhooks:
        statuses = [(await webhooks.ask(url, SECRET, webhook_request, "public")).status for _ in range(2)]
    assert statuses == [WebhookStatus.OK, WebhookStatus.OK]
    assert keys == [webhook_request.turn_id] * 3


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("http://example.com/", NOT_HTTPS),
        ("http://10.0.0.1/", NOT_HTTPS),
        ("https://10.0.0.1/", NOT_PUBLIC),
        ("https://[::ffff:169.254.169.254]/", NOT_PUBLIC),
        ("https://0x7f.1/", NUMBERS),
        ("http://[::1/", NOT_A_URL),
    ],
)
async def test_what_is_refused_as_it_is_written(ask: Ask, url: str, detail: str) -> None:
    outcome = await ask(url)
    assert (outcome.status, outcome.detail, outcome.ms) == (WebhookStatus.UNREACHABLE, detail, None)


async def test_endless_interim_responses_are_not_read(ask: Ask) -> None:
    """The loop must get its turn, and the webhook is given up at once."""
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionError):
            while sent < 200_000:
                writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 500)
                sent += 500
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await ask(f"http://127.0.0.1:{port}/bot")
    assert outcome.status is WebhookStatus.UNREACHABLE
    assert sent < 200_000
