"""A mind's seat over a real broker: offered, asked, cancelled, superseded."""

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
from callbot.runtime.errors import TimedOut
from callbot.runtime.seat import SeatHolder
from callbot.schemas.calls import CallBrief
from callbot.schemas.dialog import TurnAnswered, TurnCancelled, TurnOpened
from callbot.schemas.message import Receipt
from callbot.schemas.seats import CallOver, Role, SeatOffer
from callbot.schemas.subjects import CALL_OVER, MIND_OFFER, TURN_ANSWERED, TURN_CANCELLED, TURN_OPENED
from tests.samples import SEALING
from tests.servers import Server, url_for


class Gateway:
    """The other end of the seat, as far as a mind can see."""

    def __init__(self, bus: Bus, brief: CallBrief, turn_with: Callable[..., TurnOpened]) -> None:
        self.bus = bus
        self.brief = brief
        self.turn_with = turn_with
        self.answers: asyncio.Queue[TurnAnswered] = asyncio.Queue()

    async def offer(self, epoch: int = 1024) -> str:
        offer = SeatOffer(call_id=self.brief.call_id, role=Role.MIND, epoch=epoch, brief=self.brief)
        return (await self.bus.ask(MIND_OFFER, offer, timeout_s=5)).worker_id

    async def open_turn(self, number: int = 1, *, timeout_s: float = 5, **changes: object) -> Receipt:
        turn = self.turn_with(number, **changes)
        return await self.bus.ask(TURN_OPENED, turn, timeout_s=timeout_s, call_id=self.brief.call_id)

    async def cancel(self, number: int) -> None:
        await self.bus.tell(TURN_CANCELLED, TurnCancelled(number=number), call_id=self.brief.call_id)

    async def end_call(self) -> None:
        await self.bus.tell(
            CALL_OVER, CallOver(call_id=self.brief.call_id, generation=9), call_id=self.brief.call_id
        )

    async def answer(self) -> TurnAnswered:
        return await asyncio.wait_for(self.answers.get(), 5)

    async def on_answered(self, answered: TurnAnswered) -> Receipt:
        self.answers.put_nowait(answered)
        return Receipt()


@pytest.fixture
async def customer(serve: Callable[..., Awaitable[str]]) -> str:
    async def handle(request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"say": f"{body['llm_suggestion']} Really?"})

    return await serve(handle)


@pytest.fixture
async def gateway(
    nats: Server, customer: str, brief_with: Callable[..., CallBrief], turn_with: Callable[..., TurnOpened]
) -> AsyncIterator[Gateway]:
    async with connect(url_for("gateway", nats), speaks_as="gateway") as bus:
        gateway = Gateway(bus, brief_with(webhook=customer), turn_with)
        await bus.answer(TURN_ANSWERED, gateway.on_answered, call_id=gateway.brief.call_id)
        await bus.flush()
        yield gateway


@pytest.fixture
async def worker(
    nats: Server, vendor: Any, settings_with: Callable[..., Settings]
) -> AsyncIterator[SeatHolder]:
    settings = settings_with(
        openai_base_url=vendor.url, suggestion_s=30, llm_first_token_s=30, llm_next_token_s=30
    )
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(
            connect(url_for("dialog-worker", nats), speaks_as="dialog-worker")
        )
        model = await stack.enter_async_context(open_language_model(settings))
        webhooks = await stack.enter_async_context(open_webhooks(settings, None))
        answering = Answering(model, WebhookDoor(webhooks, SEALING), settings)
        seats = SeatHolder(
            bus,
            role=Role.MIND,
            offers=MIND_OFFER,
            worker_id="w-1",
            room=2,
            take=lambda lease: Mind(lease, bus, answering),
        )
        yield await stack.enter_async_context(seats)


async def test_a_turn_is_answered(worker: SeatHolder, gateway: Gateway, vendor: Any) -> None:
    vendor.says("Sure.")
    assert await gateway.offer() == "w-1"
    assert (await gateway.open_turn(3)).accepted
    answered = await gateway.answer()
    assert (answered.number, answered.epoch, answered.say) == (3, 1024, "Sure. Really?")
    assert answered.turn_id == f"{gateway.brief.call_id}.3"


async def test_a_turn_handed_twice_is_thought_of_once(
    worker: SeatHolder, gateway: Gateway, vendor: Any
) -> None:
    vendor.says("Sure.")
    await gateway.offer()
    receipts = [await gateway.open_turn(1), await gateway.open_turn(1)]
    await gateway.answer()
    receipts.append(await gateway.open_turn(1))
    assert all(r.accepted for r in receipts)
    assert len(vendor.requests) == 1


async def test_a_cancelled_turn_stops_the_model_and_says_nothing(
    worker: SeatHolder, gateway: Gateway, vendor: Any
) -> None:
    vendor.script = [vendor.chunk("Sure."), asyncio.Event()]
    await gateway.offer()
    await gateway.open_turn(1)
    await asyncio.wait_for(vendor.sent.wait(), 5)
    await gateway.cancel(1)
    await asyncio.wait_for(vendor.closed.wait(), 5)
    vendor.says("Fine.")
    await gateway.open_turn(1)
    await gateway.open_turn(2)
    assert (await gateway.answer()).number == 2
    assert len(vendor.requests) == 2


async def test_an_older_turn_is_cancelled_by_a_newer_number(
    worker: SeatHolder, gateway: Gateway, vendor: Any
) -> None:
    vendor.script = [asyncio.Event()]
    await gateway.offer()
    await gateway.open_turn(1)
    await asyncio.wait_for(vendor.sent.wait(), 5)
    await gateway.cancel(5)
    assert await asyncio.wait_for(vendor.closed.wait(), 5)


async def test_a_cancellation_may_come_before_its_turn(
    worker: SeatHolder, gateway: Gateway, vendor: Any
) -> None:
    vendor.says("Sure.")
    await gateway.offer()
    await gateway.cancel(4)
    assert (await gateway.open_turn(3)).accepted
    await gateway.open_turn(5)
    assert (await gateway.answer()).number == 5
    assert len(vendor.requests) == 1


async def test_other_epochs_are_left_to_other_holders(
    worker: SeatHolder, gateway: Gateway, vendor: Any
) -> None:
    vendor.says("Sure.")
    await gateway.offer(1030)
    with pytest.raises(TimedOut):
        await gateway.open_turn(1, epoch=1029, timeout_s=0.5)
    assert worker.live_calls == 1
    with pytest.raises(TimedOut):
        await gateway.open_turn(1, epoch=1031, timeout_s=0.5)
    assert worker.live_calls == 0
    assert vendor.requests == []


async def test_the_end_of_a_call_stops_everything(worker: SeatHolder, gateway: Gateway, vendor: Any) -> None:
    vendor.script = [asyncio.Event()]
    await gateway.offer()
    await gateway.open_turn(1)
    await asyncio.wait_for(vendor.sent.wait(), 5)
    await gateway.end_call()
    await asyncio.wait_for(vendor.closed.wait(), 5)
    assert worker.live_calls == 0


async def test_the_answer_is_repeated_until_it_is_heard(
    worker: SeatHolder, gateway: Gateway, vendor: Any
) -> None:
    vendor.says("Sure.")
    heard = asyncio.Event()
    deaf = True

    async def hard_of_hearing(answered: TurnAnswered) -> Receipt:
        nonlocal deaf
        if deaf:
            deaf = False
            raise ConnectionError("lost on the way")
        heard.set()
        return Receipt()

    call_id = "CA" + "0" * 31 + "2"
    gateway.brief = gateway.brief.model_copy(update={"call_id": call_id})
    await gateway.bus.answer(TURN_ANSWERED, hard_of_hearing, call_id=call_id)
    await gateway.offer()
    await gateway.open_turn(1)
    await asyncio.wait_for(heard.wait(), 5)
    assert len(vendor.requests) == 1
