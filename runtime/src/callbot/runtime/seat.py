"""The worker's half of a seat: take what is offered, beat, report until heard, give up what is not ours."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol, Self, TypeVar

from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import BusError, Silent
from callbot.runtime.lease import Lease
from callbot.runtime.metrics import METRICS
from callbot.runtime.telemetry import about
from callbot.runtime.usage import WorkerUsage
from callbot.schemas.message import Wire
from callbot.schemas.seats import (
    CallOver,
    Role,
    SeatAccept,
    SeatMoved,
    SeatOffer,
    WorkerBeat,
    generation_of,
)
from callbot.schemas.subjects import CALL_OVER, SEAT_MOVED, WORKER_BEAT, Question
from callbot.schemas.usage import Used

M = TypeVar("M", bound=Wire)
log = logging.getLogger(__name__)

SEATS_HELD = METRICS.gauge("callbot_seats_held", "Seats of calls that this worker holds.", "role")
SEATS_ROOM = METRICS.gauge("callbot_seats_room", "Seats that this worker may hold; 0 once it leaves.", "role")
BEAT_S = 0.15
OPEN_WITHIN_S = 1.0
RENEW_AFTER_S = 30.0
GIVES_ITSELF_UP_AFTER_S = 15.0
RENEW_EVERY_S = 5.0
USAGE_TOLD_WITHIN_S = 1.0
"""At this worker's end, of the seats that it still held."""


class SeatWork(Protocol):
    """What a worker does for one call whose seat it holds."""

    async def open(self) -> None:
        """Subscribe to the call's subjects; the seat is accepted after this returns."""

    async def close(self) -> None:
        """The seat is gone. Stop everything, leave nothing behind, do not raise."""

    def used(self) -> Sequence[Used]:
        """Of providers, since the seat was taken; asked also after `close`. Must be quick, and not raise."""


class _Held:
    def __init__(self, lease: Lease, work: SeatWork, usage: WorkerUsage) -> None:
        self.lease = lease
        self.work = work
        self.listening: list[Listening] = []
        self.unanswered_renewals = 0
        self._usage = usage
        usage.begin(lease, work.used)

    async def close(self) -> None:
        try:
            await self.work.close()
        except Exception:
            log.exception("a seat did not close cleanly", extra={"call_id": self.lease.call_id})
        self._usage.end(self.lease)
        for listening in self.listening:
            await listening.stop()


class SeatHolder:
    """All the seats of one worker. Use as an async context manager; leaves its queue group while full."""

    def __init__(
        self,
        bus: Bus,
        *,
        role: Role,
        offers: Question[SeatOffer, SeatAccept],
        worker_id: str,
        room: int,
        take: Callable[[Lease], SeatWork],
        vital: Callable[[], bool] = lambda: True,
    ) -> None:
        """`vital`: a worker whose models are stuck must not beat; a stuck process equals a dead one."""
        self._bus = bus
        self._role = role
        self._offers = offers
        self._worker_id = worker_id
        self._room = room
        self._take = take
        self.usage = WorkerUsage(bus)
        self._vital = vital
        self._held: dict[str, _Held] = {}
        self._opening: set[str] = set()
        self._group: Listening | None = None
        self._leaving = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._tasks: set[asyncio.Task[None]] = set()
        SEATS_HELD.of(role.value).set_function(lambda: self.live_calls)
        SEATS_ROOM.of(role.value).set_function(lambda: 0 if self._leaving else room)

    @property
    def live_calls(self) -> int:
        return len(self._held)

    @property
    def _full(self) -> bool:
        return len(self._held) + len(self._opening) >= self._room

    async def __aenter__(self) -> Self:
        await self._join()
        await self._bus.flush()
        self._spawn(self._beat_for_ever())
        self._spawn(self._renew_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._quit_group()
        for held in list(self._held.values()):
            held.lease.over = True
            await held.close()
        self._held.clear()
        await self.usage.close(USAGE_TOLD_WITHIN_S)
        while self._tasks:
            # Again and again: Python 3.11's wait_for can lose a cancellation.
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=0.2)

    async def leave(self, within_s: float) -> None:
        """Take nothing more, say so, and wait for the seats to be moved; returns after `within_s` anyway."""
        self._leaving = True
        await self._quit_group()
        try:
            await asyncio.wait_for(self._empty.wait(), within_s)
        except TimeoutError:
            log.warning("leaving with seats held", extra={"seats": len(self._held)})

    async def _join(self) -> None:
        if self._group is None and not self._leaving:
            self._group = await self._bus.answer(self._offers, self._on_offer, queue=self._offers.name)

    async def _quit_group(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            await group.stop()

    async def _on_offer(self, offer: SeatOffer) -> SeatAccept:
        older = self._held.get(offer.call_id)
        if self._leaving or not self._vital() or (older and older.lease.epoch >= offer.epoch):
            raise Silent
        if offer.call_id in self._opening or (older is None and self._full):
            # One at a time for each call: the gateway offers again, with a newer epoch.
            raise Silent
        self._opening.add(offer.call_id)
        try:
            with about(call_id=offer.call_id):
                await self._open(offer)
        finally:
            self._opening.discard(offer.call_id)
        if len(self._held) >= self._room:
            await self._quit_group()
        return SeatAccept(worker_id=self._worker_id, epoch=offer.epoch)

    async def _open(self, offer: SeatOffer) -> None:
        older = self._held.pop(offer.call_id, None)
        if older is not None:
            older.lease.over = True
            await self._close(older)
        lease = Lease(self._bus, offer, self._worker_id, self._given_up)
        held = _Held(lease, self._take(lease), self.usage)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(held.close)
            try:
                async with asyncio.timeout(OPEN_WITHIN_S):
                    await held.work.open()
                    held.listening = await self._watch(lease)
                    await self._bus.flush()
                if lease.over:
                    raise Silent
            except (TimeoutError, BusError) as e:
                log.warning("a seat could not be taken", extra={"call_id": lease.call_id, "reason": str(e)})
                raise Silent from e
            undo.pop_all()
        self._held[lease.call_id] = held
        self._empty.clear()

    async def _watch(self, lease: Lease) -> list[Listening]:
        def moved(message: SeatMoved) -> None:
            if message.role == lease.role and message.epoch > lease.epoch:
                lease.give_up("moved")

        def call_over(message: CallOver) -> None:
            if message.generation >= generation_of(lease.epoch):
                lease.give_up("call over")

        return [
            await self._bus.hear(SEAT_MOVED, moved, call_id=lease.call_id),
            await self._bus.hear(CALL_OVER, call_over, call_id=lease.call_id),
        ]

    def _given_up(self, lease: Lease) -> None:
        held = self._held.get(lease.call_id)
        if held is not None and held.lease is lease:
            del self._held[lease.call_id]
            self._spawn(self._close(held))

    async def _close(self, held: _Held) -> None:
        await held.close()
        if not self._held:
            self._empty.set()
        if len(self._held) < self._room:
            await self._join()

    async def _beat_for_ever(self) -> None:
        vital_at_s = time.monotonic()
        while True:
            vital = self._vital()
            if vital:
                vital_at_s = time.monotonic()
            elif time.monotonic() - vital_at_s > GIVES_ITSELF_UP_AFTER_S:
                log.critical("what this worker lives from does not come back: it ends, to be started again")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if vital and self._bus.is_connected:
                beat = WorkerBeat(
                    worker_id=self._worker_id,
                    role=self._role,
                    seats=len(self._held),
                    room=self._room,
                    leaving=self._leaving,
                )
                try:
                    await self._bus.tell(WORKER_BEAT, beat, worker_id=self._worker_id)
                except BusError as e:
                    log.warning("could not beat", extra={"reason": str(e)})
            await asyncio.sleep(BEAT_S)

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            self.usage.tell_due()
            for held in list(self._held.values()):
                if time.monotonic() - held.lease.heard_at_s > RENEW_AFTER_S:
                    await self._renew(held)

    async def _renew(self, held: _Held) -> None:
        ours = await held.lease.renew()
        if ours:
            held.unanswered_renewals = 0
            held.lease.heard_at_s = time.monotonic()
        elif ours is False:
            held.unanswered_renewals += 1
            if held.unanswered_renewals >= 2:
                held.lease.give_up("not renewed")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
