"""When the webhook is called, with what, and what is said when it fails. Decisions, not durations."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from callbot.dialog_worker.answering import Answering
from callbot.dialog_worker.foreseeing import Thought
from callbot.dialog_worker.model_chain import open_language_model
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook import open_webhooks
from callbot.dialog_worker.webhook_door import WebhookDoor
from callbot.runtime.sealing import webhook_secret_of
from callbot.schemas.bots import Suggest
from callbot.schemas.calls import CallBrief
from callbot.schemas.dialog import TurnAnswered, TurnOpened, WebhookStatus
from callbot.schemas.webhook import Action, WebhookRequest
from tests.samples import CALL_ID, SEALING

NEVER_S = 30.0
SOON_S = 0.05
A_WHILE_S = 0.5
"""Long enough for what a server on loopback has already sent."""


REST_OF_A_REQUEST: dict[str, Any] = {
    "user_text": "Hi",
    "llm_suggestion": "",
    "history": [],
    "timestamp": "2025-04-05T10:05:00Z",
    "call_id": CALL_ID,
    "turn_id": f"{CALL_ID}.1",
    "from_number": "",
    "to_number": "",
    "language": "en-US",
}


class Customer:
    def __init__(self) -> None:
        self.url = ""
        self.suggestions: list[str] = []
        self.called = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.status = 200
        self.answer: dict[str, object] = {"say": "It is booked. See you!"}

    async def handle(self, request: web.Request) -> web.Response:
        self.suggestions.append((await request.json())["llm_suggestion"])
        self.called.set()
        await self.may_answer.wait()
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
async def customer(serve: Callable[..., Awaitable[str]]) -> Customer:
    customer = Customer()
    customer.url = await serve(customer.handle)
    return customer


Turn = Callable[..., Coroutine[Any, Any, TurnAnswered]]


@pytest.fixture
def think(
    vendor: Any,
    customer: Customer,
    settings_with: Callable[..., Settings],
    brief_with: Callable[..., CallBrief],
    turn_with: Callable[..., TurnOpened],
) -> Turn:
    async def think(
        *, elapsed_ms: int = 0, brief: dict[str, object] | None = None, **settings: object
    ) -> TurnAnswered:
        given: dict[str, object] = {
            "openai_base_url": vendor.url,
            "suggestion_s": NEVER_S,
            "turn_s": NEVER_S,
            "settle_s": NEVER_S,
            "llm_first_token_s": NEVER_S,
            "llm_next_token_s": NEVER_S,
        }
        async with open_answering(settings_with(**(given | settings))) as answering:
            whose = brief_with(**({"webhook": customer.url} | (brief or {})))
            turn = turn_with(elapsed_ms=elapsed_ms)
            thought = Thought(answering.suggest(whose, turn.history, turn.user_text))
            return await asyncio.wait_for(answering.answer(whose, turn, thought), 10)

    return think


@asynccontextmanager
async def open_answering(settings: Settings) -> AsyncIterator[Answering]:
    async with open_language_model(settings) as model, open_webhooks(settings, None) as webhooks:
        yield Answering(model, WebhookDoor(webhooks, SEALING), settings)


async def test_the_webhook_gets_the_complete_suggestion(vendor: Any, customer: Customer, think: Turn) -> None:
    vendor.says("Sure. For", " when?")
    answered = await think()
    assert customer.suggestions == ["Sure. For when?"]
    assert (answered.say, answered.source) == ("It is booked. See you!", "webhook")
    assert answered.sentences == ["It is booked.", "See you!"]
    assert answered.suggestion == "Sure. For when?"
    assert (answered.webhook_status, answered.llm_error) == (WebhookStatus.OK, "")
    assert None not in (answered.webhook_ms, answered.llm_first_token_ms, answered.llm_ms)


async def test_a_suggestion_that_the_webhook_takes_over_keeps_its_sentences(
    vendor: Any, customer: Customer, think: Turn
) -> None:
    vendor.says("First line\nSecond line. Third.")
    customer.answer = {"say": "First line Second line. Third."}
    assert (await think()).sentences == ["First line", "Second line.", "Third."]
    customer.answer = {"say": "First line Second line. Fourth."}
    assert (await think()).sentences == ["First line Second line.", "Fourth."]


async def test_sentences_end_as_in_the_bots_language(vendor: Any, customer: Customer, think: Turn) -> None:
    vendor.says("Wir haben z. B. Pi", "zza. Sonst noch was?")
    customer.answer = {"say": "Am 3. Mai, z. B. Abends. Passt das?"}
    answered = await think(brief={"language": "de-DE"})
    assert answered.sentences == ["Am 3. Mai, z. B. Abends.", "Passt das?"]
    customer.status = 500
    answered = await think(brief={"language": "de-DE"})
    assert answered.sentences == ["Wir haben z. B. Pizza.", "Sonst noch was?"]


async def test_after_a_while_it_gets_the_whole_sentences_there_are(
    vendor: Any, customer: Customer, think: Turn
) -> None:
    vendor.script = [vendor.chunk("Sure. For w"), asyncio.Event()]
    answered = await think(suggestion_s=A_WHILE_S)
    assert customer.suggestions == ["Sure."]
    assert answered.llm_ms is None
    await asyncio.wait_for(vendor.closed.wait(), 5)


async def test_time_that_has_passed_before_counts(vendor: Any, customer: Customer, think: Turn) -> None:
    vendor.script = [asyncio.Event()]
    await think(elapsed_ms=int(NEVER_S * 1000))
    assert customer.suggestions == [""]


async def test_a_bot_without_suggestions_asks_no_model(vendor: Any, customer: Customer, think: Turn) -> None:
    answered = await think(brief={"suggest": Suggest.OFF})
    assert (vendor.requests, customer.suggestions) == ([], [""])
    assert (answered.source, answered.llm_error) == ("webhook", "")
    customer.status = 500
    answered = await think(brief={"suggest": Suggest.OFF})
    assert (answered.source, answered.say, answered.sentences) == ("none", "", [])
    assert answered.webhook_status is WebhookStatus.BAD_STATUS


async def test_a_failed_webhook_leaves_the_suggestion(vendor: Any, customer: Customer, think: Turn) -> None:
    vendor.says("Sure. For when?")
    customer.status = 500
    answered = await think()
    assert (answered.source, answered.say) == ("suggestion", "Sure. For when?")
    assert answered.sentences == ["Sure.", "For when?"]
    assert (answered.webhook_status, answered.webhook_detail) == (WebhookStatus.BAD_STATUS, "HTTP 500")


async def test_what_was_said_meanwhile_is_not_lost(vendor: Any, customer: Customer, think: Turn) -> None:
    go_on = asyncio.Event()
    vendor.says("Sure. F", "or when?")
    vendor.script.insert(1, go_on)
    customer.status = 500
    customer.may_answer.clear()
    turn = asyncio.create_task(think(suggestion_s=A_WHILE_S))
    await customer.called.wait()
    go_on.set()
    customer.may_answer.set()
    answered = await turn
    assert customer.suggestions == ["Sure."]
    assert answered.say == answered.suggestion == "Sure. For when?"


async def test_a_model_that_has_begun_gets_little_more(vendor: Any, customer: Customer, think: Turn) -> None:
    vendor.script = [vendor.chunk("Sure. For w"), asyncio.Event()]
    customer.status = 500
    answered = await think(suggestion_s=A_WHILE_S, settle_s=SOON_S)
    assert (answered.source, answered.say) == ("suggestion", "Sure.")


async def test_a_slow_model_is_waited_for_when_there_is_nothing_else(
    vendor: Any, customer: Customer, think: Turn
) -> None:
    go_on = asyncio.Event()
    vendor.script = [go_on, vendor.chunk("Sure."), vendor.chunk(None, "stop"), vendor.DONE]
    customer.status = 500
    turn = asyncio.create_task(think(suggestion_s=SOON_S))
    await customer.called.wait()
    go_on.set()
    assert (await turn).say == "Sure."


async def test_but_not_for_ever(vendor: Any, customer: Customer, think: Turn) -> None:
    vendor.script = [asyncio.Event()]
    customer.status = 500
    answered = await think(suggestion_s=SOON_S, turn_s=2 * SOON_S)
    assert (answered.source, answered.say, answered.sentences) == ("none", "", [])


async def test_a_model_that_fails_loses_no_turn(vendor: Any, customer: Customer, think: Turn) -> None:
    vendor.script = [vendor.chunk("Sure. For w")]
    answered = await think()
    assert customer.suggestions == ["Sure."]
    assert (answered.source, answered.llm_error) == ("webhook", "broken_off: it ended early")
    customer.status = 500
    vendor.refusal = web.json_response({}, status=503)
    answered = await think()
    assert (answered.source, answered.llm_error) == ("none", "unavailable: HTTP 503")


async def test_a_talkative_model_is_stopped(vendor: Any, customer: Customer, think: Turn) -> None:
    vendor.script = [vendor.chunk("One. Two. Three. Four. F"), asyncio.Event()]
    await think(max_sentences=2)
    assert customer.suggestions == ["One. Two."]
    await asyncio.wait_for(vendor.closed.wait(), 5)


async def test_a_reply_cut_off_at_the_token_limit(vendor: Any, customer: Customer, think: Turn) -> None:
    vendor.says("Sure. And then I w", finish="length")
    await think()
    vendor.says("I would like t", finish="length")
    await think()
    assert customer.suggestions == ["Sure.", "I would like t"], (
        "half a sentence only where there is no whole one"
    )


async def test_where_a_transfer_goes(vendor: Any, customer: Customer, think: Turn) -> None:
    vendor.says("Sure.")
    customer.answer = {"say": "One moment.", "action": "transfer"}
    answered = await think(brief={"transfer_to": "+15550009999"})
    assert (answered.action, answered.transfer_to) == (Action.TRANSFER, "+15550009999")
    answered = await think()
    assert (answered.action, answered.transfer_to) == (Action.CONTINUE, None)
    assert answered.webhook_detail == "transfer without a number, taken as continue"
    customer.answer["transfer_to"] = "+15550008888"
    answered = await think(brief={"transfer_to": "+15550009999"})
    assert (answered.action, answered.transfer_to) == (Action.TRANSFER, "+15550008888")


async def test_a_secret_that_cannot_be_opened_costs_the_webhook_not_the_turn(
    vendor: Any, customer: Customer, think: Turn, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.says("Sure.")
    others = SEALING.seal("s3cret-s3cret-s3cret", webhook_secret_of("bot_2"))
    for sealed in (others, "gone.AAAA.BBBB", "s3cret-s3cret-s3cret", ""):
        answered = await think(brief={"sealed_webhook_secret": sealed})
        assert (answered.say, answered.source) == ("Sure.", "suggestion")
        assert answered.webhook_status is WebhookStatus.UNREACHABLE
        assert answered.webhook_detail == "the webhook's secret cannot be opened"
    assert customer.suggestions == [], "an unsigned request is never sent"
    assert "s3cret" not in caplog.text


async def test_a_secret_that_cannot_be_opened_is_said_once(
    settings_with: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    async with open_webhooks(settings_with(), None) as webhooks:
        door = WebhookDoor(webhooks, SEALING)
        for bot_id in ("bot_1", "bot_1", "bot_2", "bot_1", "bot_2"):
            request = WebhookRequest(**{"bot_id": bot_id, **REST_OF_A_REQUEST})
            await door.ask("http://127.0.0.1:9/", "no.such.key", request, user_id="public")
    said = [(r.levelname, r.bot_id) for r in caplog.records]  # type: ignore[attr-defined]
    assert said == [("ERROR", "bot_1"), ("ERROR", "bot_2")]
