"""A sample request to a webhook, as its owner asks for it: through the same door as in a call."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from callbot.dialog_worker.webhook_door import WebhookDoor
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.bots import DEFAULT_GREETING, TryWebhook, WebhookTested
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.subjects import WEBHOOK_TRY
from callbot.schemas.webhook import HistoryEntry, WebhookRequest

CALL_ID = "CA" + "0" * 32
"""No call of Twilio's has it."""
CALLER = "+15005550006"
CALLED = "+15005550001"
"""Twilio's test numbers: nobody is reached there (https://www.twilio.com/docs/iam/test-credentials)."""
SUGGESTION = "Hello! This is what the language model would suggest."
TESTS_AT_ONCE = 32
TESTS_AT_ONCE_A_USER = 8
"""Those that wait for the user's next permit included: they would take the places of everybody else."""


@asynccontextmanager
async def answering_tests(bus: Bus, door: WebhookDoor) -> AsyncIterator[None]:
    """One worker answers each."""
    running: Counter[str] = Counter()

    async def test(question: TryWebhook) -> WebhookTested:
        user_id = question.user_id
        if running[user_id] >= TESTS_AT_ONCE_A_USER:
            return WebhookTested(status=WebhookStatus.RATE_LIMITED.value, detail="429 too many tests at once")
        if running.total() >= TESTS_AT_ONCE:
            raise Refused("unavailable", "Too many webhooks are being tested. Please try again.")
        running[user_id] += 1
        try:
            return await _tested(door, question)
        finally:
            running[user_id] -= 1
            if not running[user_id]:
                del running[user_id]

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
