"""Reports of usage on their way into the stream of events, by whichever gateway is asked."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from callbot.call_router.memory import ensure_memory
from callbot.gateway.usage_reports import taking_usage
from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import NoResponders, Refused
from callbot.schemas.calls import CallEvent
from callbot.schemas.memory import CALL_EVENTS
from callbot.schemas.subjects import SEAT_USAGE
from callbot.schemas.usage import SeatUsage, UsageTold, Used
from tests.servers import Server, url_for

USED = [Used(role="tts", provider="elevenlabs", characters=200)]


def report(number: int = 1, *, last: bool = False) -> SeatUsage:
    return SeatUsage(
        call_id="CA" + secrets.token_hex(16),
        bot_id="bot_1",
        user_id="u",
        seat="mouth",
        epoch=2051,
        number=number,
        last=last,
        used=USED,
    )


@pytest.fixture
async def router(own_nats: Server) -> AsyncIterator[Bus]:
    async with connect(url_for("call-router", own_nats), speaks_as="call-router") as bus:
        yield bus


@pytest.fixture
async def worker(own_nats: Server) -> AsyncIterator[Bus]:
    """Beside two gateways."""
    async with (
        connect(url_for("gateway", own_nats), speaks_as="gateway") as one,
        connect(url_for("gateway", own_nats), speaks_as="gateway") as other,
        taking_usage(one),
        taking_usage(other),
        connect(url_for("tts-worker", own_nats), speaks_as="tts-worker") as bus,
    ):
        await asyncio.gather(one.flush(), other.flush())
        yield bus


@pytest.fixture
async def reader(own_nats: Server) -> AsyncIterator[Bus]:
    async with connect(url_for("gateway", own_nats), speaks_as="gateway") as bus:
        yield bus


async def stored(reader: Bus) -> list[CallEvent]:
    js = reader.jetstream()
    state = (await js.stream_info(CALL_EVENTS.name)).state
    found = [await js.get_msg(CALL_EVENTS.name, seq=number + 1) for number in range(state.last_seq)]
    return [CallEvent.decode(msg.data or b"") for msg in found]


async def tell(worker: Bus, told: SeatUsage) -> bool:
    return (await worker.ask(SEAT_USAGE, told, timeout_s=5, call_id=told.call_id)).accepted


async def test_a_report_is_one_event_by_whichever_gateway(router: Bus, reader: Bus, worker: Bus) -> None:
    await ensure_memory(router.jetstream(), 1)
    told = report(3, last=True)
    assert all(await asyncio.gather(*(tell(worker, told) for _ in range(8))))
    (event,) = await stored(reader)
    assert (event.call_id, event.bot_id, event.user_id, event.generation) == (told.call_id, "bot_1", "u", 2)
    assert event.fact == UsageTold(seat="mouth", epoch=2051, number=3, last=True, used=USED)
    again = told.model_copy(update={"number": 4})
    assert await tell(worker, again)
    assert [e.fact.number for e in await stored(reader) if isinstance(e.fact, UsageTold)] == [3, 4]


async def test_what_is_not_stored_is_refused(router: Bus, reader: Bus, worker: Bus) -> None:
    """The stream is made by call-router, which may not have begun yet."""
    with pytest.raises(Refused, match="unavailable"):
        await tell(worker, told := report())
    await ensure_memory(router.jetstream(), 1)
    assert await tell(worker, told)
    assert len(await stored(reader)) == 1


async def test_a_gateway_that_has_ended_is_asked_no_more(own_nats: Server) -> None:
    async with (
        connect(url_for("gateway", own_nats), speaks_as="gateway") as bus,
        connect(url_for("tts-worker", own_nats), speaks_as="tts-worker") as worker,
    ):
        async with taking_usage(bus):
            await bus.flush()
        with pytest.raises(NoResponders):
            await tell(worker, report())
