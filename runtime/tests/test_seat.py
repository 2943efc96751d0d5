"""The worker's half of a seat, over a real NATS; the test is the gateway."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from callbot.runtime import seat
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError
from callbot.runtime.lease import Lease
from callbot.runtime.seat import SeatHolder
from callbot.schemas.message import Receipt
from callbot.schemas.seats import (
    EPOCHS_PER_GENERATION,
    CallOver,
    Role,
    SeatAccept,
    SeatMoved,
    SeatOffer,
    SeatRenew,
    WorkerBeat,
)
from callbot.schemas.speech import TurnEnded
from callbot.schemas.subjects import CALL_OVER, EARS_OFFER, SEAT_MOVED, SEAT_RENEW, TURN_ENDED, WORKER_BEAT
from callbot.schemas.usage import Used
from tests.samples import a_brief

Buses = dict[str, Bus]
_numbers = itertools.count(1)
ENDED = TurnEnded(epoch=1, from_seq=0, to_seq=1, text="hi", speech_ended_at_ms=0, ended_at_ms=0, stt_ms=0.0)


def offer(epoch: int = 1, call_id: str = "") -> SeatOffer:
    call_id = call_id or f"CA{next(_numbers):032x}"
    return SeatOffer(call_id=call_id, role=Role.EARS, epoch=epoch, brief=a_brief(call_id=call_id))


def over(what: SeatOffer) -> CallOver:
    return CallOver(call_id=what.call_id, generation=9)


@dataclass
class Work:
    lease: Lease
    opened: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        self.opened = True

    async def close(self) -> None:
        self.closed.set()

    def used(self) -> list[Used]:
        return []


class Worker:
    def __init__(self) -> None:
        self.works: list[Work] = []
        self.alive = True

    def take(self, lease: Lease) -> Work:
        self.works.append(Work(lease))
        return self.works[-1]

    def holder(self, bus: Bus, room: int = 2) -> SeatHolder:
        return SeatHolder(
            bus,
            role=Role.EARS,
            offers=EARS_OFFER,
            worker_id="w",
            room=room,
            take=self.take,
            vital=lambda: self.alive,
        )


@pytest.fixture
async def worker(buses: Buses) -> AsyncIterator[tuple[Worker, SeatHolder]]:
    worker = Worker()
    async with worker.holder(buses["stt-worker"]) as seats:
        yield worker, seats


Held = tuple[Worker, SeatHolder]


async def take(buses: Buses, what: SeatOffer, timeout_s: float = 2.0) -> SeatAccept:
    return await buses["gateway"].ask(EARS_OFFER, what, timeout_s=timeout_s)


async def test_an_offer_is_accepted_after_the_work_is_open(buses: Buses, worker: Held) -> None:
    what = offer(7)
    assert await take(buses, what) == SeatAccept(worker_id="w", epoch=7)
    assert worker[0].works[0].opened and worker[1].live_calls == 1
    assert worker[0].works[0].lease.brief == what.brief


async def test_a_full_worker_leaves_its_group_and_comes_back(buses: Buses, worker: Held) -> None:
    first = offer()
    await take(buses, first)
    await take(buses, offer())
    await buses["stt-worker"].flush()
    with pytest.raises(BusError):
        await take(buses, offer(), timeout_s=0.3)
    await buses["gateway"].tell(CALL_OVER, over(first), call_id=first.call_id)
    await asyncio.wait_for(worker[0].works[0].closed.wait(), 5)
    await buses["stt-worker"].flush()
    assert (await take(buses, offer())).worker_id == "w"


async def test_a_newer_epoch_at_the_same_worker_replaces_the_older(buses: Buses, worker: Held) -> None:
    call_id = offer().call_id
    await take(buses, offer(1, call_id))
    await take(buses, offer(2, call_id))
    older, newer = worker[0].works
    assert older.closed.is_set() and not newer.closed.is_set() and worker[1].live_calls == 1
    with pytest.raises(BusError):
        await take(buses, offer(2, call_id), timeout_s=0.2)


async def test_concurrent_offers_of_one_call_open_one_seat(buses: Buses) -> None:
    """What is opened while another opening is under way would never be closed."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Work):
        async def open(self) -> None:
            begun.set()
            await go_on.wait()

    class SlowWorker(Worker):
        def take(self, lease: Lease) -> Work:
            self.works.append(Slow(lease))
            return self.works[-1]

    worker, call_id = SlowWorker(), offer().call_id
    async with worker.holder(buses["stt-worker"]) as seats:
        offers = [asyncio.create_task(take(buses, offer(1, call_id)))]
        await begun.wait()
        offers += [asyncio.create_task(take(buses, offer(epoch, call_id), 0.3)) for epoch in (2, 3)]
        await asyncio.wait(offers[1:])
        go_on.set()
        assert (await offers[0]).epoch == 1
        assert len(worker.works) == 1 and seats.live_calls == 1
        assert all(isinstance(o.exception(), BusError) for o in offers[1:])


async def test_the_end_of_an_older_stream_is_not_the_end_of_a_newer_one(buses: Buses) -> None:
    worker, what = Worker(), offer(2 * EPOCHS_PER_GENERATION + 1)
    async with worker.holder(buses["stt-worker"], room=9):
        await take(buses, what)
        for generation in (1, 2):
            over = CallOver(call_id=what.call_id, generation=generation)
            await buses["gateway"].tell(CALL_OVER, over, call_id=what.call_id)
            # What was told before this offer has been heard when it is taken.
            await take(buses, offer())
            assert worker.works[0].lease.over is (generation == 2)


async def test_fencing(buses: Buses, worker: Held) -> None:
    await take(buses, offer(5))
    work = worker[0].works[0]
    assert work.lease.admits(5) and not work.lease.admits(4) and worker[1].live_calls == 1
    assert not work.lease.admits(6)
    await asyncio.wait_for(work.closed.wait(), 5)
    assert worker[1].live_calls == 0 and not work.lease.admits(5)


@pytest.mark.parametrize(
    ("role", "epoch", "gone"), [("ears", 2, True), ("ears", 1, False), ("mind", 2, False)]
)
async def test_moved_relieves_the_older_holder_of_that_role(
    buses: Buses, worker: Held, role: str, epoch: int, gone: bool
) -> None:
    what = offer(1)
    await take(buses, what)
    await buses["gateway"].tell(SEAT_MOVED, SeatMoved(role=Role(role), epoch=epoch), call_id=what.call_id)
    # What was told before this offer has been heard when it is taken.
    await take(buses, offer())
    assert worker[0].works[0].lease.over is gone
    await buses["gateway"].tell(SEAT_MOVED, SeatMoved(role=Role.EARS, epoch=9), call_id=what.call_id)
    await asyncio.wait_for(worker[0].works[0].closed.wait(), 5)


async def test_a_report_is_repeated_until_it_is_accepted(buses: Buses, worker: Held) -> None:
    what = offer(1)
    await take(buses, what)
    asked = 0

    async def on(_: TurnEnded) -> Receipt:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise RuntimeError("not yet")
        return Receipt()

    reporting = asyncio.create_task(worker[0].works[0].lease.report(TURN_ENDED, ENDED))
    await asyncio.sleep(0)
    await buses["gateway"].answer(TURN_ENDED, on, call_id=what.call_id)
    assert await asyncio.wait_for(reporting, 10)
    assert asked == 3


async def test_a_report_that_is_not_accepted_gives_the_seat_up(buses: Buses, worker: Held) -> None:
    what = offer(1)
    await take(buses, what)

    async def on(_: TurnEnded) -> Receipt:
        return Receipt(accepted=False)

    await buses["gateway"].answer(TURN_ENDED, on, call_id=what.call_id)
    await buses["gateway"].flush()
    assert not await worker[0].works[0].lease.report(TURN_ENDED, ENDED)
    await asyncio.wait_for(worker[0].works[0].closed.wait(), 5)


async def test_beats_tell_seats_and_leaving_and_stop_when_nothing_vital_works(
    buses: Buses, worker: Held
) -> None:
    beats: asyncio.Queue[WorkerBeat] = asyncio.Queue()
    await buses["gateway"].hear(WORKER_BEAT, beats.put_nowait)
    await take(buses, offer())
    async with asyncio.timeout(5):
        while (beat := await beats.get()).seats != 1:
            continue
        assert (beat.worker_id, beat.room, beat.leaving) == ("w", 2, False)
        await worker[1].leave(0)
        while not (await beats.get()).leaving:
            continue
    worker[0].alive = False
    await asyncio.sleep(2 * seat.BEAT_S)
    while not beats.empty():
        beats.get_nowait()
    await asyncio.sleep(3 * seat.BEAT_S)
    assert beats.empty()


async def test_leaving_takes_nothing_more_and_ends_when_the_seats_have_moved(
    buses: Buses, worker: Held
) -> None:
    what = offer(1)
    await take(buses, what)
    leaving = asyncio.create_task(worker[1].leave(10))
    await asyncio.sleep(0)
    await buses["stt-worker"].flush()
    with pytest.raises(BusError):
        await take(buses, offer(), timeout_s=0.3)
    assert not leaving.done()
    await buses["gateway"].tell(SEAT_MOVED, SeatMoved(role=Role.EARS, epoch=2), call_id=what.call_id)
    await asyncio.wait_for(leaving, 5)


@pytest.mark.parametrize("answer", [True, False, None])
async def test_a_seat_of_which_nothing_is_heard_is_asked_for(
    buses: Buses, monkeypatch: pytest.MonkeyPatch, answer: bool | None
) -> None:
    """True: the gateway says yes, and the seat is kept. False: it says no. None: it is gone."""
    monkeypatch.setattr(seat, "RENEW_AFTER_S", 0.05)
    monkeypatch.setattr(seat, "RENEW_EVERY_S", 0.05)
    worker, what = Worker(), offer(1)
    asked = asyncio.Event()

    async def on(_: SeatRenew) -> Receipt:
        asked.set()
        return Receipt(accepted=bool(answer))

    if answer is not None:
        await buses["gateway"].answer(SEAT_RENEW, on, call_id=what.call_id)
        await buses["gateway"].flush()
    async with worker.holder(buses["stt-worker"]) as seats:
        await take(buses, what)
        if answer:
            for _ in range(3):
                asked.clear()
                await asyncio.wait_for(asked.wait(), 5)
            assert seats.live_calls == 1
        else:
            await asyncio.wait_for(worker.works[0].closed.wait(), 5)


async def test_closing_leaves_nothing_behind(buses: Buses) -> None:
    worker = Worker()
    async with worker.holder(buses["stt-worker"]):
        await take(buses, offer())
        await take(buses, offer())
    assert all(work.closed.is_set() for work in worker.works)
    await buses["stt-worker"].flush()
    with pytest.raises(BusError):
        await take(buses, offer(), timeout_s=0.3)
