"""The sample webhooks take bookings, asked as in a call; one behaviour for all languages."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook import Webhooks, open_webhooks
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.webhook import Action, HistoryEntry, WebhookAnswer, WebhookRequest
from tests.samples import CALL_ID

SECRET = "s3cret-s3cret-s3cret"


@pytest.fixture(scope="module")
async def webhooks(settings_with: Callable[..., Settings]) -> AsyncIterator[Webhooks]:
    async with open_webhooks(settings_with(), None) as webhooks:
        yield webhooks


_numbers = iter(range(1, 10_000))


def request(text: str, history: list[HistoryEntry]) -> WebhookRequest:
    return WebhookRequest(
        bot_id="bot_1",
        user_text=text,
        llm_suggestion="",
        history=history,
        timestamp=datetime.now(UTC),
        call_id=CALL_ID,
        turn_id=f"{CALL_ID}.{next(_numbers)}",
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
    "names of the world": ["for two", "tonight", "My name is Jürgen Müller-Łoś", "bye"],
}


@pytest.mark.parametrize("said", CONVERSATIONS.values(), ids=CONVERSATIONS)
async def test_books_a_table(bot: str, webhooks: Webhooks, said: list[str]) -> None:
    history = [HistoryEntry(role="bot", content="Hello! How can I help you?")]
    answers: list[WebhookAnswer] = []
    for text in said:
        outcome = await webhooks.ask(bot, SECRET, request(text, history), "public")
        assert outcome.answer is not None, outcome.detail
        answers.append(outcome.answer)
        history += [
            HistoryEntry(role="user", content=text),
            HistoryEntry(role="bot", content=outcome.answer.say),
        ]
    assert [a.action for a in answers] == [Action.CONTINUE] * (len(said) - 1) + [Action.HANGUP]
    assert answers[-2].say.endswith("Anything else?")
    assert answers[-1].say.endswith("Goodbye!")


@pytest.mark.parametrize(
    ("text", "say"),
    [
        ("for 4 tomorrow at 7 pm, my name is Anna.", "A table for 4, tomorrow at 7 pm, for Anna."),
        ("party of ten, Friday, under Jürgen Müller", "A table for ten, Friday, for Jürgen Müller."),
        ("for one", "When would you like to come?"),
        ("hello", "For how many people?"),
    ],
)  # fmt: skip
async def test_says_the_same_in_every_language(bot: str, webhooks: Webhooks, text: str, say: str) -> None:
    outcome = await webhooks.ask(bot, SECRET, request(text, []), "public")
    assert outcome.answer is not None
    assert outcome.answer.say.removesuffix(" Anything else?") == say


async def test_a_wrong_secret_is_a_failed_webhook(bot: str, webhooks: Webhooks) -> None:
    outcome = await webhooks.ask(bot, "another secret, not the bot's", request("Hi", []), "public")
    assert (outcome.status, outcome.detail) == (WebhookStatus.BAD_STATUS, "HTTP 401")
