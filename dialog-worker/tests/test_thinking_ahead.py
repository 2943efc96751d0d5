"""A mind that is told what is coming, over a real broker: the model begins early, the webhook does not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from callbot.dialog_worker.answering import Answering
from callbot.dialog_worker.app import Mind
from callbot.dialog_worker.model_chain import open_language_model
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook import open_webhooks
from callbot.dialog_worker.webhook_door import WebhookDoor
from callbot.runtime.bus import Bus, connect
from callbot.runtime.seat import SeatHolder
from callbot.schemas.bots import Suggest
from callbot.schemas.calls import CallBrief
from callbot.schemas.dialog import (
    PrepareSentence,
    TurnAnswered,
    TurnCancelled,
    TurnForeseen,
    TurnOpened,
    TurnWithdrawn,
)
from callbot.schemas.message import Receipt
from callbot.schemas.seats import CallOver, Role, SeatOffer
from callbot.schemas.subjects import (
    CALL_OVER,
    MIND_OFFER,
    SENTENCE_PREPARE,
    TURN_ANSWERED,
    TURN_CANCELLED,
    TURN_FORESEEN,
    TURN_OPENED,
    TURN_WITHDRAWN,
)
from tests.samples import SEALING
from tests.servers import Server, url_for

EPOCH = 1024
A_WHILE_S = 0.1
"""Long enough for a run that should not have begun to be seen."""


class Call:
    """The gateway and the mouth of one call, and its bot's webhook."""

    def __init__(self, gateway: Bus, mouth: Bus, brief: CallBrief, turn_with: Callable[..., TurnOpened]):
        self.gateway = gateway
        self.mouth = mouth
        self.brief = brief
        self.turn_with = turn_with
        self.answers: asyncio.Queue[TurnAnswered] = asyncio.Queue()
        self.prepared: asyncio.Queue[PrepareSentence] = asyncio.Queue()

    async def begin(self) -> None:
        call_id = self.brief.call_id
        await self.gateway.answer(TURN_ANSWERED, self._on_answered, call_id=call_id)
        await self.mouth.hear(SENTENCE_PREPARE, self.prepared.put_nowait, call_id=call_id)
        await asyncio.gather(self.gateway.flush(), self.mouth.flush())
        offer = SeatOffer(call_id=call_id, role=Role.MIND, epoch=EPOCH, brief=self.brief)
        await self.gateway.ask(MIND_OFFER, offer, timeout_s=5)

    async def foresee(self, text: str, number: int = 1, epoch: int = EPOCH) -> None:
        message = TurnForeseen(epoch=epoch, number=number, user_text=text, history=[])
        await self.gateway.tell(TURN_FORESEEN, message, call_id=self.brief.call_id)

    async def withdraw(self, number: int = 1, epoch: int = EPOCH) -> None:
        message = TurnWithdrawn(epoch=epoch, number=number)
        await self.gateway.tell(TURN_WITHDRAWN, message, call_id=self.brief.call_id)

    async def cancel(self, number: int) -> None:
        await self.gateway.tell(TURN_CANCELLED, TurnCancelled(number=number), call_id=self.brief.call_id)

    async def open_turn(self, text: str, number: int = 1) -> None:
        turn = self.turn_with(number, user_text=text)
        await self.gateway.ask(TURN_OPENED, turn, timeout_s=5, call_id=self.brief.call_id)

    async def end(self) -> None:
        over = CallOver(call_id=self.brief.call_id, generation=9)
        await self.gateway.tell(CALL_OVER, over, call_id=self.brief.call_id)

    async def answer(self) -> TurnAnswered:
        return await asyncio.wait_for(self.answers.get(), 5)

    async def preparation(self) -> tuple[int, str]:
        told = await asyncio.wait_for(self.prepared.get(), 5)
        return told.number, told.text

    async def _on_answered(self, answered: TurnAnswered) -> Receipt:
        self.answers.put_nowait(answered)
        return Receipt()


class Customer:
    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body["user_text"])
        return web.json_response({"say": f"{body['llm_suggestion']} Really?"})


@pytest.fixture
async def customer(serve: Callable[..., Awaitable[str]]) -> Customer:
    customer = Customer()
    customer.url = await serve(customer.handle)
    return customer


Begin = Callable[..., Awaitable[Call]]


@pytest.fixture
async def begin(
    nats: Server,
    vendor: Any,
    customer: Customer,
    settings_with: Callable[..., Settings],
    brief_with: Callable[..., CallBrief],
    turn_with: Callable[..., TurnOpened],
) -> AsyncIterator[Begin]:
    """`await begin(suggest=…)`: a call with a bot like this, its mind's seat held; `settings` by keyword."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context

        async def start(brief: dict[str, object] | None = None, **changes: object) -> Call:
            patient = {"suggestion_s": 30, "llm_first_token_s": 30, "llm_next_token_s": 30}
            settings = settings_with(**({"openai_base_url": vendor.url} | patient | changes))
            bus = await enter(connect(url_for("dialog-worker", nats), speaks_as="dialog-worker"))
            model = await enter(open_language_model(settings))
            door = WebhookDoor(await enter(open_webhooks(settings, None)), SEALING)
            answering = Answering(model, door, settings)
            seats = SeatHolder(
                bus,
                role=Role.MIND,
                offers=MIND_OFFER,
                worker_id="w-1",
                room=2,
                take=lambda lease: Mind(lease, bus, answering),
            )
            await enter(seats)
            gateway = await enter(connect(url_for("gateway", nats), speaks_as="gateway"))
            mouth = await enter(connect(url_for("tts-worker", nats), speaks_as="tts-worker"))
            call = Call(gateway, mouth, brief_with(webhook=customer.url, **(brief or {})), turn_with)
            await call.begin()
            return call

        yield start


async def until_stopped(vendor: Any) -> None:
    await asyncio.wait_for(vendor.closed.wait(), 5)
    vendor.closed.clear()


async def until_asked(vendor: Any, count: int) -> None:
    async with asyncio.timeout(5):
        while len(vendor.requests) < count:
            await asyncio.sleep(0.005)


def asked_of(vendor: Any) -> list[str]:
    return [request["messages"][-1]["content"] for request in vendor.requests]


async def test_the_same_words_keep_the_run_and_the_webhook_is_called_once(
    vendor: Any, customer: Customer, begin: Begin
) -> None:
    vendor.says("Sure. For", " when?")
    call = await begin()
    await call.foresee("a table")
    assert await call.preparation() == (1, "Sure.")
    assert customer.asked == []
    await call.foresee("A table,")
    await call.open_turn("A table.")
    answered = await call.answer()
    assert (answered.say, answered.speculation) == ("Sure. For when? Really?", "used")
    assert answered.won_ms > 0 and answered.llm_ms is not None
    assert asked_of(vendor) == ["a table"]
    assert customer.asked == ["A table."]
    assert call.prepared.empty()


async def test_other_words_begin_again(vendor: Any, customer: Customer, begin: Begin) -> None:
    vendor.script = [vendor.chunk("Sure. An"), asyncio.Event()]
    call = await begin()
    await call.foresee("a table")
    assert await call.preparation() == (1, "Sure.")
    vendor.says("For four then.")
    await call.open_turn("a table for four")
    await until_stopped(vendor)
    answered = await call.answer()
    assert (answered.say, answered.speculation) == ("For four then. Really?", "restarted")
    assert answered.won_ms == 0
    assert asked_of(vendor) == ["a table", "a table for four"]
    assert customer.asked == ["a table for four"]
    assert await call.preparation() == (1, "For four then.")


@pytest.mark.parametrize("how", ["withdrawn", "cancelled", "call over"])
async def test_what_will_not_come_is_stopped(vendor: Any, customer: Customer, begin: Begin, how: str) -> None:
    vendor.script = [asyncio.Event()]
    call = await begin()
    await call.foresee("a table")
    await until_asked(vendor, 1)
    stop = {"withdrawn": call.withdraw, "cancelled": lambda: call.cancel(1), "call over": call.end}
    await stop[how]()
    await until_stopped(vendor)
    assert customer.asked == []


async def test_a_turn_that_never_comes_is_stopped(vendor: Any, customer: Customer, begin: Begin) -> None:
    vendor.script = [asyncio.Event()]
    call = await begin(foreseen_s=0.1)
    await call.foresee("a table")
    await until_asked(vendor, 1)
    await until_stopped(vendor)
    assert customer.asked == []


async def test_the_same_sentence_is_prepared_once(vendor: Any, begin: Begin) -> None:
    vendor.says("Sure. For when?")
    call = await begin()
    await call.foresee("a table")
    assert await call.preparation() == (1, "Sure.")
    vendor.says("Sure. At seven?")
    await call.open_turn("a table for four")
    assert (await call.answer()).speculation == "restarted"
    await call.mouth.flush()
    assert call.prepared.empty()


async def test_what_is_over_is_not_foreseen(vendor: Any, begin: Begin) -> None:
    vendor.says("Sure.")
    call = await begin()
    await call.cancel(2)
    await call.open_turn("a cancelled turn", number=2)
    await call.foresee("an older seat", epoch=EPOCH - 1)
    await call.foresee("a cancelled turn", number=2)
    await asyncio.sleep(A_WHILE_S)
    await call.open_turn("a table", number=4)
    assert (await call.answer()).speculation == "none"
    await call.foresee("an opened turn", number=4)
    await call.foresee("an older turn", number=3)
    await asyncio.sleep(A_WHILE_S)
    await call.foresee("the next turn", number=5)
    await until_asked(vendor, 2)
    assert asked_of(vendor) == ["a table", "the next turn"]


async def test_the_first_sentence_is_prepared_without_foresight_too(vendor: Any, begin: Begin) -> None:
    vendor.says("Sure. For when?")
    call = await begin()
    await call.open_turn("a table", number=7)
    assert await call.preparation() == (7, "Sure.")
    assert (await call.answer()).speculation == "none"


async def test_a_bot_without_suggestions_foresees_nothing(
    vendor: Any, customer: Customer, begin: Begin
) -> None:
    call = await begin({"suggest": Suggest.OFF}, llm_warm=True)
    await call.foresee("a table")
    await call.open_turn("a table")
    assert (await call.answer()).speculation == "none"
    assert (vendor.requests, customer.asked) == ([], ["a table"])
    assert call.prepared.empty()


async def test_the_prompt_is_read_when_the_call_begins(vendor: Any, begin: Begin) -> None:
    vendor.says("Hello", finish="length")
    call = await begin(llm_warm=True)
    await until_asked(vendor, 1)
    (ahead,) = vendor.requests
    assert ahead["max_completion_tokens"] == 1
    vendor.says("Sure.")
    await call.open_turn("a table")
    await call.answer()
    turn = vendor.requests[1]
    assert ahead["messages"][0] == turn["messages"][0]
    assert call.prepared.qsize() == 1


async def test_reading_ahead_makes_way_for_the_first_turn(vendor: Any, begin: Begin) -> None:
    vendor.script = [asyncio.Event()]
    call = await begin(llm_warm=True)
    await until_asked(vendor, 1)
    vendor.says("Sure.")
    await call.foresee("a table")
    await until_stopped(vendor)
    assert await call.preparation() == (1, "Sure.")
