"""A worker that accepts too late is told so: over a real NATS, the test is the workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from callbot.call_router.memory import ensure_memory
from callbot.runtime.bus import connect
from callbot.runtime.errors import Silent
from callbot.schemas.seats import CallOver, Role, SeatAccept, SeatMoved, SeatOffer
from callbot.schemas.subjects import CALL_OVER, OFFERS, SEAT_MOVED
from tests.gateway_stage import WORKERS, Stage
from tests.samples import CALL_ID, a_brief
from tests.servers import nats_server, url_for

WITHIN_S = 5


class LateEars:
    """Takes its first seat when the test says so, and hears nothing of the call before that."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._bus = stage.buses[WORKERS[Role.EARS]]
        self.offered, self.opens = asyncio.Event(), asyncio.Event()
        self.first_epoch = 0
        self.others_take = True
        self.told: asyncio.Queue[CallOver | SeatMoved] = asyncio.Queue()

    async def work(self) -> None:
        for role, service in WORKERS.items():
            bus = self._stage.buses[service]
            await bus.answer(OFFERS[role], self._accept if role is Role.EARS else self._stage._accept)
            await bus.flush()

    async def _accept(self, offer: SeatOffer) -> SeatAccept:
        if not self.offered.is_set():
            self.first_epoch = offer.epoch
            self.offered.set()
            await self.opens.wait()
            await self._bus.hear(CALL_OVER, self.told.put_nowait, call_id=CALL_ID)
            await self._bus.hear(SEAT_MOVED, self.told.put_nowait, call_id=CALL_ID)
            await self._bus.flush()
        elif self.others_take:
            self._stage.epochs[Role.EARS] = offer.epoch
        else:
            raise Silent
        return SeatAccept(worker_id=WORKERS[Role.EARS], epoch=offer.epoch)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    server = nats_server(tmp_path)
    server.start()
    async with AsyncExitStack() as stack:
        buses = {
            service: await stack.enter_async_context(connect(url_for(service, server), speaks_as=service))
            for service in ("call-router", "gateway", *WORKERS.values())
        }
        await ensure_memory(buses["call-router"].jetstream(), 1)
        yield Stage(buses)
    server.kill()


@pytest.fixture
async def ears(stage: Stage) -> LateEars:
    ears = LateEars(stage)
    await ears.work()
    return ears


async def test_whoever_takes_a_seat_of_a_call_that_is_over_is_told_so(stage: Stage, ears: LateEars) -> None:
    beginning = asyncio.create_task(stage.begins(a_brief()))
    await asyncio.wait_for(ears.offered.wait(), WITHIN_S)
    await stage.call.end("caller_hung_up")
    beginning.cancel()
    await asyncio.wait({beginning})
    ears.opens.set()
    told = await asyncio.wait_for(ears.told.get(), WITHIN_S)
    assert told == CallOver(call_id=CALL_ID, generation=1)


async def test_whoever_takes_a_seat_that_another_has_by_now_is_told_so(stage: Stage, ears: LateEars) -> None:
    async def work_on() -> None:
        while True:
            await stage.passes(20)
            await asyncio.sleep(0.002)

    beginning = asyncio.create_task(stage.begins(a_brief()))
    await asyncio.wait_for(ears.offered.wait(), WITHIN_S)
    working = asyncio.create_task(work_on())
    try:
        await stage.until(lambda: stage.call._seating.epoch(Role.EARS) > ears.first_epoch)
        ears.opens.set()
        told = await asyncio.wait_for(ears.told.get(), WITHIN_S)
        assert told == SeatMoved(role=Role.EARS, epoch=stage.call._seating.epoch(Role.EARS))
    finally:
        for task in (working, beginning):
            task.cancel()
        await asyncio.wait({working, beginning}, timeout=WITHIN_S)
        await stage.call.abandon()


async def test_whoever_is_slow_has_the_seat_where_nobody_else_takes_it(stage: Stage, ears: LateEars) -> None:
    ears.others_take = False
    beginning = asyncio.create_task(stage.begins(a_brief()))
    await asyncio.wait_for(ears.offered.wait(), WITHIN_S)
    await stage.until(lambda: stage.call._seating.seats[Role.EARS].offered_epoch != ears.first_epoch)
    ears.opens.set()
    await stage.until(lambda: stage.call._seating.epoch(Role.EARS) == ears.first_epoch)
    beginning.cancel()
    await asyncio.wait({beginning})
    assert stage.call._seating.is_current(Role.EARS, ears.first_epoch)
    await stage.call.abandon()
