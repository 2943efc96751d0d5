"""What a mind's seat has used of its models: also what was thought in vain, and read ahead."""

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
from callbot.schemas.calls import CallBrief
from callbot.schemas.dialog import TurnAnswered, TurnForeseen, TurnOpened
from callbot.schemas.message import Receipt
from callbot.schemas.seats import CallOver, Role, SeatOffer
from callbot.schemas.subjects import (
    CALL_OVER,
    MIND_OFFER,
    SEAT_USAGE,
    TURN_ANSWERED,
    TURN_FORESEEN,
    TURN_OPENED,
)
from callbot.schemas.usage import SeatUsage, Used
from tests.samples import SEALING
from tests.servers import Server, url_for

EPOCH = 1024


class Gateway:
    def __init__(self, bus: Bus, brief: CallBrief, turn_with: Callable[..., TurnOpened]) -> None:
        self.bus = bus
        self.brief = brief
        self.turn_with = turn_with
        self.answers: asyncio.Queue[TurnAnswered] = asyncio.Queue()
        self.usage: asyncio.Queue[SeatUsage] = asyncio.Queue()

    async def begin(self) -> None:
        async def on_answered(answered: TurnAnswered) -> Receipt:
            self.answers.put_nowait(answered)
            return Receipt()

        async def on_usage(told: SeatUsage) -> Receipt:
            self.usage.put_nowait(told)
            return Receipt()

        ids = {"call_id": self.brief.call_id}
        await self.bus.answer(TURN_ANSWERED, on_answered, **ids)
        await self.bus.answer(SEAT_USAGE, on_usage, **ids)
        await self.bus.flush()
        offer = SeatOffer(role=Role.MIND, epoch=EPOCH, brief=self.brief, **ids)
        await self.bus.ask(MIND_OFFER, offer, timeout_s=5)

    async def foresee(self, text: str) -> None:
        turn = TurnForeseen(epoch=EPOCH, number=1, user_text=text, history=[])
        await self.bus.tell(TURN_FORESEEN, turn, call_id=self.brief.call_id)

    async def answer(self, text: str) -> TurnAnswered:
        turn = self.turn_with(1, user_text=text)
        await self.bus.ask(TURN_OPENED, turn, timeout_s=5, call_id=self.brief.call_id)
        return await asyncio.wait_for(self.answers.get(), 5)

    async def used(self) -> list[Used]:
        """At the end of the call."""
        over = CallOver(call_id=self.brief.call_id, generation=9)
        await self.bus.tell(CALL_OVER, over, call_id=self.brief.call_id)
        told = await asyncio.wait_for(self.usage.get(), 5)
        assert (told.seat, told.epoch, told.number, told.last) == ("mind", EPOCH, 1, True)
        return told.used


@pytest.fixture
async def begin(
    nats: Server,
    vendor: Any,
    serve: Callable[..., Awaitable[str]],
    settings_with: Callable[..., Settings],
    brief_with: Callable[..., CallBrief],
    turn_with: Callable[..., TurnOpened],
) -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    async def customer(_: web.Request) -> web.Response:
        return web.json_response({"say": "Fine."})

    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context

        async def start(**changes: object) -> Gateway:
            patient = {"suggestion_s": 30, "llm_first_token_s": 30, "llm_next_token_s": 30}
            settings = settings_with(**({"openai_base_url": vendor.url} | patient | changes))
            bus = await enter(connect(url_for("dialog-worker", nats), speaks_as="dialog-worker"))
            model = await enter(open_language_model(settings))
            door = WebhookDoor(await enter(open_webhooks(settings, None)), SEALING)
            answering = Answering(model, door, settings)
            await enter(
                SeatHolder(
                    bus,
                    role=Role.MIND,
                    offers=MIND_OFFER,
                    worker_id="w-1",
                    room=2,
                    take=lambda lease: Mind(lease, bus, answering),
                )
            )
            gateway_bus = await enter(connect(url_for("gateway", nats), speaks_as="gateway"))
            gateway = Gateway(gateway_bus, brief_with(webhook=await serve(customer)), turn_with)
            await gateway.begin()
            return gateway

        yield start


def usage_chunk(vendor: Any, tokens_in: int, tokens_out: int) -> bytes:
    """As `stream_options.include_usage` has it: behind the last choice."""
    counted = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": 0}
    chunk: bytes = vendor.event({"choices": [], "usage": counted})
    return chunk


Begin = Callable[..., Awaitable[Gateway]]


async def test_tokens_are_those_that_the_server_has_counted(vendor: Any, begin: Begin) -> None:
    vendor.says("Sure.")
    vendor.script.insert(-1, usage_chunk(vendor, 42, 3))
    gateway = await begin()
    await gateway.answer("a table")
    assert await gateway.used() == [
        Used(role="llm", provider="openai", model="tiny", tokens_in=42, tokens_out=3)
    ]


async def test_what_was_thought_in_vain_counts_and_is_estimated(vendor: Any, begin: Begin) -> None:
    vendor.script = [vendor.chunk("Sure. An"), asyncio.Event()]
    gateway = await begin()
    await gateway.foresee("a table")
    await asyncio.wait_for(vendor.sent.wait(), 5)
    vendor.says("For four then.")
    vendor.script.insert(-1, usage_chunk(vendor, 1000, 5))
    assert (await gateway.answer("a table for four")).speculation == "restarted"
    await asyncio.wait_for(vendor.closed.wait(), 5)
    (used,) = await gateway.used()
    characters = sum(len(message["content"]) for message in vendor.requests[0]["messages"])
    assert used.estimated
    assert used.tokens_in == 1000 + -(-characters // 4)
    assert used.tokens_out == 5 + 2


async def test_what_is_read_ahead_counts(vendor: Any, begin: Begin) -> None:
    vendor.says("Hello", finish="length")
    vendor.script.insert(-1, usage_chunk(vendor, 30, 1))
    gateway = await begin(llm_warm=True)
    async with asyncio.timeout(5):
        while not vendor.requests:
            await asyncio.sleep(0.005)
    vendor.says("Sure.")
    vendor.script.insert(-1, usage_chunk(vendor, 42, 3))
    await gateway.answer("a table")
    (used,) = await gateway.used()
    assert used.tokens_in is not None and used.tokens_in > 42


async def test_a_call_without_a_turn_uses_nothing(vendor: Any, begin: Begin) -> None:
    gateway = await begin()
    assert await gateway.used() == []
    assert vendor.requests == []
