"""A sample request to a webhook, as its owner asks for it: through the same door as in a call."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from callbot.dialog_worker.webhook_door import WebhookDoor
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.bots import DEFAULT_GREETING, TryWebhook, WebhookTested
from callbot.schemas.subjects import WEBHOOK_TRY
from callbot.schemas.webhook import HistoryEntry, WebhookRequest

CALL_ID = "CA" + "0" * 32
"""No call of Twilio's has it."""
CALLER = "+15005550006"
CALLED = "+15005550001"
"""Twilio's test numbers: nobody is reached there (https://www.twilio.com/docs/iam/test-credentials)."""
SUGGESTION = "Hello! This is what the language model would suggest."
TESTS_AT_ONCE = 32


@asynccontextmanager
async def answering_tests(bus: Bus, door: WebhookDoor) -> AsyncIterator[None]:
    """One worker answers each."""
    room = asyncio.Semaphore(TESTS_AT_ONCE)

    async def test(question: TryWebhook) -> WebhookTested:
        if room.locked():
            raise Refused("unavailable", "Too many webhooks are being tested. Please try again.")
        async with room:
            return await _tested(door, question)

    listening = await bus.answer(WEBHOOK_TRY, test, queue=WEBHOOK_TRY.name)
    try:
        yield
    finally:
        await listening.stop()


async def _tested(door: WebhookDoor, question: TryWebhook) -> WebhookTested:
    outcome = await door.ask(
        question.webhook, question.sealed_webhook_secret, _sample(question), user_id=question.user_id
    )
    return WebhookTested(
        status=outcome.status.value,
        detail=outcome.detail,
        http_status=outcome.http_status,
        took_ms=outcome.ms,
        answer=outcome.answer,
    )


def _sample(question: TryWebhook) -> WebhookRequest:
    """Each has a key of its own: it is a new test, not the old one repeated."""
    return WebhookRequest(
        bot_id=question.bot_id,
        user_text=question.body.user_text,
        llm_suggestion=SUGGESTION,
        history=[HistoryEntry(role="bot", content=DEFAULT_GREETING)],
        timestamp=datetime.now(UTC).replace(microsecond=0),
        call_id=CALL_ID,
        turn_id=f"test.{secrets.token_hex(8)}",
        from_number=CALLER,
        to_number=CALLED,
        language=question.language,
    )
