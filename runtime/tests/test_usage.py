"""What a worker's seats tell of their usage, over a real NATS; the test is the gateways."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from callbot.runtime import seat, usage
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused, Silent
from callbot.runtime.lease import Lease
from callbot.runtime.seat import SeatHolder
from callbot.schemas.message import Receipt
from callbot.schemas.seats import CallOver, Role, SeatOffer
from callbot.schemas.subjects import CALL_OVER, EARS_OFFER, SEAT_USAGE
from callbot.schemas.usage import SeatUsage, Used
from tests.samples import a_brief

Buses = dict[str, Bus]
EPOCH = 1025
_numbers = itertools.count(1)


def heard(seconds: float) -> Used:
    return Used(role="stt", provider="deepgram", seconds=seconds)


class Ears:
    def __init__(self) -> None:
        self.seconds = 0.0

    async def open(self) -> None:
        return

    async def close(self) -> None:
        # What comes in while it closes counts, too.
        self.seconds += 0.5 if self.seconds else 0

    def used(self) -> list[Used]:
        return [heard(self.seconds)] if self.seconds else []


class Gateways:
    """They take reports as one group."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.told: list[SeatUsage] = []
        self.answers: list[BaseException | None] = []
        """To the first reports; then all are taken."""
        self._news = asyncio.Event()

    async def listen(self) -> None:
        await self.bus.answer(SEAT_USAGE, self._take, queue=SEAT_USAGE.name)
        await self.bus.flush()

    async def _take(self, report: SeatUsage) -> Receipt:
        self.told.append(report)
        self._news.set()
        if self.answers and (error := self.answers.pop(0)) is not None:
            raise error
        return Receipt()

    async def until(self, enough: Callable[[list[SeatUsage]], bool]) -> None:
        async with asyncio.timeout(10):
            while not enough(self.told):
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def gateways(buses: Buses) -> Gateways:
    return Gateways(buses["gateway"])


class Worker:
    def __init__(self, bus: Bus) -> None:
        self.ears: list[Ears] = []
        self.seats = SeatHolder(
            bus, role=Role.EARS, offers=EARS_OFFER, worker_id="w", room=9, take=self._take
        )

    def _take(self, lease: Lease) -> Ears:
        self.ears.append(Ears())
        return self.ears[-1]


@pytest.fixture
async def worker(buses: Buses) -> AsyncIterator[Worker]:
    worker = Worker(buses["stt-worker"])
    async with worker.seats:
        yield worker


async def take(bus: Bus, worker: Worker) -> tuple[str, Ears]:
    call_id = f"CA{next(_numbers):032x}"
    offer = SeatOffer(call_id=call_id, role=Role.EARS, epoch=EPOCH, brief=a_brief(call_id=call_id))
    await bus.ask(EARS_OFFER, offer, timeout_s=5)
    return call_id, worker.ears[-1]


async def end(bus: Bus, call_id: str) -> None:
    await bus.tell(CALL_OVER, CallOver(call_id=call_id, generation=9), call_id=call_id)


async def test_a_seat_tells_its_sums_at_its_end(buses: Buses, worker: Worker, gateways: Gateways) -> None:
    await gateways.listen()
    call_id, ears = await take(gateways.bus, worker)
    ears.seconds = 61
    await end(gateways.bus, call_id)
    await gateways.until(lambda told: len(told) == 1)
    brief = a_brief()
    (report,) = gateways.told
    assert report == SeatUsage(
        call_id=call_id,
        bot_id=brief.bot_id,
        user_id=brief.user_id,
        seat="ears",
        epoch=EPOCH,
        number=1,
        last=True,
        used=[heard(61.5)],
    )


async def test_a_seat_that_has_used_nothing_says_so_at_its_end(
    buses: Buses, worker: Worker, gateways: Gateways
) -> None:
    await gateways.listen()
    call_id, _ = await take(gateways.bus, worker)
    await end(gateways.bus, call_id)
    await gateways.until(lambda told: len(told) == 1)
    assert (gateways.told[0].used, gateways.told[0].last) == ([], True)


async def test_before_its_end_it_tells_now_and_then_what_has_changed(
    buses: Buses, worker: Worker, gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gateways.listen()
    _, ears = await take(gateways.bus, worker)
    ears.seconds = 1
    worker.seats.usage.tell_due()
    await gateways.bus.flush()
    assert gateways.told == [], "half a minute has not gone by"
    monkeypatch.setattr(usage, "TELL_EVERY_S", 0.0)
    for seconds in (1, 1, 2):
        ears.seconds = seconds
        worker.seats.usage.tell_due()
        await asyncio.wait_for(asyncio.gather(*worker.seats.usage._tasks), 5)
    assert [(r.number, r.last, r.used) for r in gateways.told] == [
        (1, False, [heard(1)]),
        (2, False, [heard(2)]),
    ]


async def test_the_holder_of_seats_sees_to_it(
    buses: Buses, gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "TELL_EVERY_S", 0.0)
    monkeypatch.setattr(seat, "RENEW_EVERY_S", 0.02)
    await gateways.listen()
    worker = Worker(buses["stt-worker"])
    async with worker.seats:
        _, ears = await take(gateways.bus, worker)
        ears.seconds = 3
        await gateways.until(lambda told: [r.used for r in told] == [[heard(3)]])
    # At the end of the worker, too.
    assert (gateways.told[-1].last, gateways.told[-1].used) == (True, [heard(3.5)])


@pytest.mark.parametrize("trouble", [Refused("unavailable", "no"), Silent(), None])
async def test_the_last_report_is_repeated_until_somebody_has_stored_it(
    buses: Buses,
    worker: Worker,
    gateways: Gateways,
    monkeypatch: pytest.MonkeyPatch,
    trouble: BaseException | None,
) -> None:
    """None: at first there is no gateway."""
    monkeypatch.setattr(usage, "ANSWERED_WITHIN_S", 0.2)
    gateways.answers = [trouble, trouble] if trouble else []
    if trouble:
        await gateways.listen()
    call_id, ears = await take(gateways.bus, worker)
    ears.seconds = 2
    await end(gateways.bus, call_id)
    if not trouble:
        async with asyncio.timeout(5):
            while worker.seats.live_calls:
                await asyncio.sleep(0.01)
        await gateways.listen()
    wanted = 3 if trouble else 1
    await gateways.until(lambda told: len(told) == wanted)
    await asyncio.wait_for(asyncio.gather(*worker.seats.usage._tasks), 5)
    assert {(r.number, r.epoch, r.last) for r in gateways.told} == {(1, EPOCH, True)}


async def test_what_nobody_takes_is_in_the_log_and_the_worker_ends(
    buses: Buses, gateways: Gateways, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    worker = Worker(buses["stt-worker"])
    async with worker.seats:
        _, ears = await take(gateways.bus, worker)
        ears.seconds = 7
    (lost,) = [r for r in caplog.records if r.msg == "the record of a call lacks usage"]
    assert lost.used == [  # type: ignore[attr-defined]
        {"role": "stt", "provider": "deepgram", "model": "", "seconds": 7.5, "estimated": False}
    ]


async def test_the_totals_of_a_worker_hold_every_call_and_what_belongs_to_none(
    buses: Buses, worker: Worker, gateways: Gateways
) -> None:
    await gateways.listen()
    over, ears = await take(gateways.bus, worker)
    ears.seconds = 1
    _, others = await take(gateways.bus, worker)
    others.seconds = 2
    assert worker.seats.usage.totals == [heard(3)]
    await end(gateways.bus, over)
    await gateways.until(lambda told: len(told) == 1)
    worker.seats.usage.add(heard(10))
    worker.seats.usage.add(Used(role="tts", provider="piper", characters=5))
    assert worker.seats.usage.totals == [heard(13.5), Used(role="tts", provider="piper", characters=5)]
