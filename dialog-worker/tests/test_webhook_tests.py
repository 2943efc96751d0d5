"""A webhook's owner asks for a sample request: over a real broker, to a real server."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from callbot.dialog_worker import webhook_test
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook import open_webhooks
from callbot.dialog_worker.webhook_door import WebhookDoor
from callbot.runtime.bus import connect
from callbot.runtime.errors import Refused
from callbot.runtime.sealing import webhook_secret_of
from callbot.runtime.webhook_address import NOT_PUBLIC
from callbot.schemas.bots import TestWebhookBody, TryWebhook, WebhookTested
from callbot.schemas.subjects import WEBHOOK_TRY
from callbot.schemas.webhook import Action, WebhookAnswer, WebhookRequest
from tests.samples import SEALING
from tests.servers import Server, url_for

SECRET = "the-secret-of-bot-7"


class Customer:
    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        await self.may_answer.wait()
        return web.json_response({"say": "Hello!", "action": "hangup"}, status=self.status)


@pytest.fixture
async def customer(serve: Callable[..., Awaitable[str]]) -> Customer:
    customer = Customer()
    customer.url = await serve(customer.handle)
    return customer


Try = Callable[..., Awaitable[WebhookTested]]


@pytest.fixture
async def try_it(
    nats: Server, customer: Customer, settings_with: Callable[..., Settings]
) -> AsyncIterator[Try]:
    """Two workers could answer."""
    async with AsyncExitStack() as stack:
        for _ in range(2):
            bus = await stack.enter_async_context(
                connect(url_for("dialog-worker", nats), speaks_as="dialog-worker")
            )
            webhooks = await stack.enter_async_context(open_webhooks(settings_with(webhook_s=0.5), None))
            door = WebhookDoor(webhooks, SEALING)
            await stack.enter_async_context(webhook_test.answering_tests(bus, door))
            await bus.flush()
        router = await stack.enter_async_context(
            connect(url_for("call-router", nats), speaks_as="call-router")
        )

        async def ask(**changes: object) -> WebhookTested:
            fields: dict[str, Any] = {
                "bot_id": "bot_7",
                "user_id": "user_1",
                "webhook": customer.url,
                "sealed_webhook_secret": SEALING.seal(SECRET, webhook_secret_of("bot_7")),
                "language": "de-DE",
                "body": TestWebhookBody(user_text="Ein Tisch für vier"),
            }
            return await router.ask(WEBHOOK_TRY, TryWebhook(**(fields | changes)), timeout_s=5)

        yield ask


async def test_the_sample_is_a_request_as_in_a_call(try_it: Try, customer: Customer) -> None:
    tested = await try_it()
    assert (tested.status, tested.http_status, tested.detail) == ("ok", 200, "")
    assert tested.answer == WebhookAnswer(say="Hello!", action=Action.HANGUP)
    assert tested.took_ms is not None
    assert tested.took_ms > 0
    [(headers, body)] = customer.requests
    sent = WebhookRequest.decode(body)
    assert (sent.bot_id, sent.user_text, sent.language) == ("bot_7", "Ein Tisch für vier", "de-DE")
    assert sent.call_id == "CA" + "0" * 32
    assert sent.turn_id.startswith("test.")
    assert headers["Idempotency-Key"] == sent.turn_id
    assert set(json.loads(body)) >= {"history", "timestamp", "from", "to", "llm_suggestion"}
    at, signed = headers["X-Callbot-Signature"].removeprefix("t=").split(",v1=")
    assert signed == hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


async def test_each_test_is_a_new_one_and_one_worker_sends_it(try_it: Try, customer: Customer) -> None:
    for _ in range(6):
        await try_it()
    keys = [headers["Idempotency-Key"] for headers, _ in customer.requests]
    assert len(keys) == len(set(keys)) == 6


async def test_what_was_wrong(try_it: Try, customer: Customer) -> None:
    customer.status = 503
    tested = await try_it()
    assert (tested.status, tested.detail, tested.http_status) == ("webhook_bad_status", "HTTP 503", 503)
    customer.may_answer.clear()
    tested = await try_it()
    assert (tested.status, tested.http_status) == ("webhook_timeout", None)
    tested = await try_it(webhook="https://169.254.169.254/latest/meta-data")
    assert (tested.status, tested.detail) == ("webhook_unreachable", NOT_PUBLIC)
    assert tested.took_ms is None
    tested = await try_it(bot_id="bot_8")
    assert (tested.status, tested.detail) == ("webhook_unreachable", "the webhook's secret cannot be opened")


async def test_tests_leave_room_for_calls(try_it: Try, customer: Customer) -> None:
    customer.may_answer.clear()
    outcomes = await asyncio.gather(
        *(try_it(user_id=f"user_{n}") for n in range(2 * webhook_test.TESTS_AT_ONCE + 5)),
        return_exceptions=True,
    )
    refused = [o for o in outcomes if isinstance(o, Refused)]
    assert {o.code for o in refused} == {"unavailable"}
    assert len(refused) >= 5
    assert len(customer.requests) <= 2 * webhook_test.TESTS_AT_ONCE


async def test_the_tests_of_one_user_leave_room_for_others(try_it: Try, customer: Customer) -> None:
    customer.may_answer.clear()
    asked = 2 * webhook_test.TESTS_AT_ONCE
    mine = [asyncio.create_task(try_it()) for _ in range(asked)]
    done, waiting = await asyncio.wait(mine, timeout=0.3)
    told = {tested.result().status for tested in done}
    assert told == {"webhook_rate_limited"}
    assert 0 < len(waiting) <= 2 * webhook_test.TESTS_AT_ONCE_A_USER
    assert (await try_it(user_id="user_2")).status == "webhook_timeout"
    await asyncio.gather(*mine)
    customer.may_answer.set()
    assert (await try_it()).status == "ok"
