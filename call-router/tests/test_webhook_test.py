"""Trying a webhook: what the dialog-worker says about it reaches the caller of the API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import Refused
from callbot.runtime.keyring import KeyRing
from callbot.runtime.sealing import Sealing, webhook_secret_of
from callbot.schemas.bots import TestWebhook, TestWebhookBody, TryWebhook, WebhookTested
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.subjects import BOT_TEST, WEBHOOK_TRY
from callbot.schemas.webhook import WebhookAnswer
from tests.servers import Server, url_for

from .conftest import ASK_S, RINGS, as_user, new_bot

pytestmark = pytest.mark.usefixtures("router")
OK = WebhookTested(status="ok", http_status=200, took_ms=12.5, answer=WebhookAnswer(say="Hi"))


@asynccontextmanager
async def dialog_worker(
    nats: Server, answer: Callable[[TryWebhook], Awaitable[WebhookTested]]
) -> AsyncIterator[None]:
    """One that answers like this."""
    async with connect(url_for("dialog-worker", nats), speaks_as="dialog-worker") as bus:
        await bus.answer(WEBHOOK_TRY, answer)
        await bus.flush()
        yield


async def ask(gateway: Bus, bot_id: str, user_id: str = "public", **body: Any) -> WebhookTested:
    question = TestWebhook(credential=as_user(user_id), bot_id=bot_id, body=TestWebhookBody(**body))
    return await gateway.ask(BOT_TEST, question, timeout_s=ASK_S)


async def test_a_webhook_is_tried_with_the_bots_own_secret(gateway: Bus, nats: Server) -> None:
    bot = await new_bot(gateway, language="de-DE", webhook_secret="0123456789abcdef")
    asked: list[TryWebhook] = []

    async def answer(question: TryWebhook) -> WebhookTested:
        asked.append(question)
        return OK

    async with dialog_worker(nats, answer):
        assert await ask(gateway, bot.id, user_text="Zwei Plätze") == OK
    (tried,) = asked
    assert (tried.bot_id, tried.user_id, tried.webhook) == (bot.id, "public", bot.webhook)
    assert (tried.language, tried.body.user_text) == ("de-DE", "Zwei Plätze")
    sealing = Sealing(KeyRing.parse(RINGS["webhook_keys"]))
    assert sealing.open(tried.sealed_webhook_secret, webhook_secret_of(bot.id)) == "0123456789abcdef"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (WebhookStatus.TIMEOUT, "webhook_timeout"),
        (WebhookStatus.RATE_LIMITED, "webhook_rate_limited"),
        *(
            (status, "webhook_invalid")
            for status in WebhookStatus
            if status not in (WebhookStatus.OK, WebhookStatus.TIMEOUT, WebhookStatus.RATE_LIMITED)
        ),
    ],
)
async def test_what_was_wrong_is_said(gateway: Bus, nats: Server, status: WebhookStatus, code: str) -> None:
    bot = await new_bot(gateway)

    async def answer(question: TryWebhook) -> WebhookTested:
        return WebhookTested(status=status, detail="say is missing", http_status=200, took_ms=40.0)

    async with dialog_worker(nats, answer):
        with pytest.raises(Refused) as refused:
            await ask(gateway, bot.id)
    assert refused.value.code == code
    assert "say is missing" in refused.value.message
    told = {"status": str(status), "detail": "say is missing", "http_status": "200", "took_ms": "40.0"}
    later = {"retry_after_s": "1"} if status is WebhookStatus.RATE_LIMITED else {}
    assert refused.value.details == told | later


async def test_a_webhook_may_take_its_three_seconds(gateway: Bus, nats: Server) -> None:
    bot = await new_bot(gateway)

    async def answer(question: TryWebhook) -> WebhookTested:
        await asyncio.sleep(3.2)
        return OK

    async with dialog_worker(nats, answer):
        assert await ask(gateway, bot.id) == OK


async def test_without_a_dialog_worker_it_is_for_later(gateway: Bus) -> None:
    bot = await new_bot(gateway)
    with pytest.raises(Refused, match="unavailable"):
        await ask(gateway, bot.id)


async def test_anothers_webhook_is_not_tried(gateway: Bus, nats: Server) -> None:
    bot = await new_bot(gateway, "alice")
    asked: list[TryWebhook] = []

    async def answer(question: TryWebhook) -> WebhookTested:
        asked.append(question)
        return OK

    async with dialog_worker(nats, answer):
        for user_id, bot_id in (("bob", bot.id), ("alice", "bot_nothere00000")):
            with pytest.raises(Refused, match="bot_not_found"):
                await ask(gateway, bot_id, user_id)
    assert asked == []
