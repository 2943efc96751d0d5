"""What the seats of one worker use of their providers: told for the calls' records, and counted in one place.

A seat tells sums, now and then and when it is given up, so that a worker that dies takes little with it and a
report that comes twice counts once. No audio, text or token makes a message of its own.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final

from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError, NoResponders
from callbot.runtime.lease import Lease
from callbot.schemas.subjects import SEAT_USAGE
from callbot.schemas.usage import SeatUsage, Used, summed

TELL_EVERY_S: Final = 30.0
ANSWERED_WITHIN_S: Final = 2.5
"""A gateway answers when the report is stored, for which it takes 2 s at most."""
LAST_TOLD_FOR_S: Final = 120.0
"""So long the last report of a seat is repeated."""
PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Seat:
    lease: Lease
    used: Callable[[], Sequence[Used]]
    told_at_s: float
    told: Sequence[Used] = ()
    number: int = 0

    def report(self, used: Sequence[Used], *, last: bool) -> SeatUsage:
        self.number += 1
        self.told, self.told_at_s = used, time.monotonic()
        brief = self.lease.brief
        return SeatUsage(
            call_id=self.lease.call_id,
            bot_id=brief.bot_id,
            user_id=brief.user_id,
            seat=self.lease.role.value,
            epoch=self.lease.epoch,
            number=self.number,
            last=last,
            used=list(used),
        )


class WorkerUsage:
    """Of one worker, from its start."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._seats: dict[Lease, _Seat] = {}
        self._before: list[Used] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()

    @property
    def totals(self) -> list[Used]:
        """Of all calls that there were and are, and what was used for none."""
        return summed([*self._before, *(used for seat in self._seats.values() for used in seat.used())])

    def add(self, used: Used) -> None:
        """For no call: in no record, but in the totals."""
        self._before = summed([*self._before, used])

    def begin(self, lease: Lease, used: Callable[[], Sequence[Used]]) -> None:
        """`used`: the sums of this seat until now, equal ones while nothing was used; quick."""
        self._seats[lease] = _Seat(lease, used, time.monotonic())

    def end(self, lease: Lease) -> None:
        """The seat is closed: its last report is told, by a task of its own; also that nothing was used."""
        seat = self._seats.pop(lease, None)
        if seat is not None:
            used = seat.used()
            self._before = summed([*self._before, *used])
            self._spawn(self._tell_last(seat.report(used, last=True)))

    def tell_due(self) -> None:
        """To be called every few seconds."""
        now_s = time.monotonic()
        for seat in self._seats.values():
            if now_s - seat.told_at_s >= TELL_EVERY_S and (used := seat.used()) != seat.told:
                self._spawn(self._tell_once(seat.report(used, last=False)))

    async def close(self, within_s: float) -> None:
        """Waits for the last reports, so long at most, and not where there is no gateway."""
        self._ending.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tell_once(self, report: SeatUsage) -> None:
        try:
            await self._ask(report)
        except BusError as e:
            # The next one holds all that is in this one.
            log.debug("usage was not told", extra={"call_id": report.call_id, "reason": str(e)})

    async def _tell_last(self, report: SeatUsage) -> None:
        give_up_at_s = time.monotonic() + LAST_TOLD_FOR_S
        pause_s = PAUSE_S
        try:
            while True:
                try:
                    return await self._ask(report)
                except BusError as e:
                    in_vain = self._ending.is_set() and isinstance(e, NoResponders)
                    if in_vain or time.monotonic() > give_up_at_s:
                        return _say_lost(report, str(e))
                await self._pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        except asyncio.CancelledError:
            _say_lost(report, "this worker ends")
            raise

    async def _pause(self, pause_s: float) -> None:
        if self._ending.is_set():
            await asyncio.sleep(PAUSE_S)
            return
        try:
            async with asyncio.timeout(pause_s):
                await self._ending.wait()
        except TimeoutError:
            return

    async def _ask(self, report: SeatUsage) -> None:
        """Raises BusError."""
        await self._bus.ask(SEAT_USAGE, report, timeout_s=ANSWERED_WITHIN_S, call_id=report.call_id)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _say_lost(report: SeatUsage, reason: str) -> None:
    """The log is the last place from which it could be added by hand."""
    used = [one.model_dump(exclude_none=True) for one in report.used]
    where = {"call_id": report.call_id, "seat": report.seat, "epoch": report.epoch}
    log.warning("the record of a call lacks usage", extra={**where, "used": used, "reason": reason})
