"""The sample webhook, as its own process, called as a bot calls it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook import Webhooks, open_webhooks
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.webhook import Action, HistoryEntry, WebhookAnswer, WebhookRequest

SCRIPT = Path(__file__).parents[2] / "examples/webhooks/python/booking_bot.py"
SECRET = "s3cret-s3cret-s3cret"


@pytest.fixture(scope="module")
async def booking_bot() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        SCRIPT,
        "--port=0",
        stdout=asyncio.subprocess.PIPE,
        env={"CALLBOT_WEBHOOK_SECRET": SECRET},
    )
    try:
        assert process.stdout is not None
        yield (await asyncio.wait_for(process.stdout.readline(), 10)).decode().split()[-1]
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def webhooks(settings_with: Callable[..., Settings]) -> AsyncIterator[Webhooks]:
    async with open_webhooks(settings_with()) as webhooks:
        yield webhooks


def request(text: str, history: list[HistoryEntry]) -> WebhookRequest:
    call_id = "CA" + "0" * 32
    return WebhookRequest(
        bot_id="bot_1",
        user_text=text,
        llm_suggestion="",
        history=history,
        timestamp=datetime.now(UTC),
        call_id=call_id,
        turn_id=f"{call_id}.{len(history)}",
        from_number="+15550001111",
        to_number="+15550002222",
        language="en-US",
    )


CONVERSATIONS = {
    "asked for each": [
        "I'd like to book a table please",
        "A table for four.",
        "Tomorrow at seven in the evening.",
        "My name is Anna Miller.",
        "No, that is all. Thank you.",
    ],
    "demo": [
        "A table for four",
        "Tomorrow at 7:00 in the evening",
        "My name is Anna Miller",
        "No that is all thank you",
    ],
    "short answers": ["Hi!", "4 people", "At 7 p.m.", "It's Anna", "No."],
    "all at once": ["A table for 4 tomorrow at 7 pm, my name is Anna", "Goodbye"],
    "in any order": ["Under Anna", "Tonight", "for six", "No thanks"],
    "misheard in between": ["", "um", "party of six", "what?", "Friday", "It's Bob", "nothing else"],
}


@pytest.mark.parametrize("said", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
async def test_books_a_table(booking_bot: str, webhooks: Webhooks, said: list[str]) -> None:
    history = [HistoryEntry(role="bot", content="Hello! How can I help you?")]
    answers: list[WebhookAnswer] = []
    for text in said:
        outcome = await webhooks.ask(booking_bot, SECRET, request(text, history))
        assert outcome.answer is not None
        answers.append(outcome.answer)
        history += [
            HistoryEntry(role="user", content=text),
            HistoryEntry(role="bot", content=outcome.answer.say),
        ]
    assert [a.action for a in answers] == [Action.CONTINUE] * (len(said) - 1) + [Action.HANGUP]
    assert answers[-2].say.endswith("Anything else?")
    assert answers[-1].say.endswith("Goodbye!")


async def test_answers_only_what_is_signed(booking_bot: str, webhooks: Webhooks) -> None:
    outcome = await webhooks.ask(booking_bot, "another secret, not the bot's", request("Hi", []))
    assert (outcome.status, outcome.detail) == (WebhookStatus.BAD_STATUS, "HTTP 401")
