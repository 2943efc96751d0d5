"""The three seats of one call: does what `seats.py` decides, over the bus."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from callbot.gateway.call_metrics import SEATS_LOST
from callbot.gateway.seats import ACCEPT_WITHIN_MS, Drop, Effect, FallBack, Install, Offer, Seat
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError
from callbot.schemas.calls import CallBrief
from callbot.schemas.seats import CallOver, Role, SeatMoved, SeatOffer, WorkerBeat
from callbot.schemas.subjects import CALL_OVER, OFFERS, SEAT_MOVED

log = logging.getLogger(__name__)
BEAT_FORGOTTEN_MS = 60_000
OPENED_WITHIN_S = 2.0
"""A worker may be so long about a seat; whoever accepts then is too late, and must be told."""
JITTER_MS = 300


class Clock(Protocol):
    """Milliseconds, monotonic."""

    def __call__(self) -> float: ...


@dataclass
class Beats:
    """When each worker was last heard from."""

    clock: Clock
    _last: dict[str, tuple[float, bool]] = field(default_factory=dict)

    def take(self, beat: WorkerBeat) -> None:
        self._last[beat.worker_id] = (self.clock(), beat.leaving)

    def of(self, worker_id: str) -> tuple[float, bool] | None:
        return self._last.get(worker_id)

    def forget_old(self) -> None:
        before_ms = self.clock() - BEAT_FORGOTTEN_MS
        self._last = {w: seen for w, seen in self._last.items() if seen[0] >= before_ms}


class SeatsOwner(Protocol):
    """What a call does when its seats change."""

    def installed(self, role: Role, epoch: int) -> None: ...
    def lost(self, role: Role, epoch: int) -> None: ...
    def fell_back(self, role: Role, reason: str) -> None: ...
    def dropped(self, role: Role, item: str) -> None: ...
    def first_frame_wanted(self) -> int: ...


class Seating:
    def __init__(
        self,
        bus: Bus,
        brief: CallBrief,
        beats: Beats,
        owner: SeatsOwner,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._bus = bus
        self._brief = brief
        self._beats = beats
        self._owner = owner
        self._spawn = spawn
        self.clock = beats.clock
        self._link_was_down = False
        self._offers: set[asyncio.Task[None]] = set()
        self.seats = {role: Seat(role, brief.generation) for role in Role}

    def start(self) -> None:
        for seat in self.seats.values():
            self._do(seat, seat.seek(self.clock()))

    def tick(self, *, stalled: bool) -> None:
        """`stalled`: this process itself has slept, so that missing beats prove nothing."""
        if not self._bus.is_connected:
            self._link_was_down = True
            return
        now_ms = self.clock()
        if self._link_was_down or stalled:
            self._link_was_down = False
            for seat in self.seats.values():
                seat.link_restored(now_ms + random.uniform(0, JITTER_MS))
        for seat in self.seats.values():
            beat = self._beats.of(seat.holder.worker_id) if seat.holder else None
            if beat is not None:
                seat.heard_from(beat[0], leaving=beat[1])
            holder = seat.holder
            effects = seat.tick(now_ms)
            if holder is not None and seat.holder is None:
                SEATS_LOST.of(seat.role.value, "no beats").inc()
                log.warning(
                    "seat lost",
                    extra=self._facts(seat.role, worker_id=holder.worker_id, reason="no beats"),
                )
                self._owner.lost(seat.role, holder.epoch)
            self._do(seat, effects)

    def at_boundary(self) -> None:
        for seat in self.seats.values():
            self._do(seat, seat.at_boundary(self.clock()))

    def is_current(self, role: Role, epoch: int) -> bool:
        return self.seats[role].is_current(epoch)

    def epoch(self, role: Role) -> int:
        """0 while nobody holds the seat."""
        return self.seats[role].epoch

    def has_fallen_back(self, role: Role) -> bool:
        return self.seats[role].has_fallen_back

    def unreachable(self, role: Role, epoch: int, reason: str, *, blameless: bool = False) -> None:
        seat = self.seats[role]
        if seat.is_current(epoch):
            SEATS_LOST.of(role.value, reason).inc()
            log.warning("seat lost", extra=self._facts(role, epoch=epoch, reason=reason))
            self._owner.lost(role, epoch)
            self._do(seat, seat.unreachable(epoch, self.clock(), blameless=blameless))

    def works_on(self, role: Role, item: str | None) -> None:
        self.seats[role].item = item

    def close(self) -> None:
        for seat in self.seats.values():
            seat.close()

    def _do(self, seat: Seat, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Offer(epoch):
                    # Not one of the call's tasks: it must hear of an accept after the call's end.
                    self._offers.add(task := asyncio.create_task(self._offer(seat, epoch)))
                    task.add_done_callback(self._offers.discard)
                case Install(epoch, worker_id):
                    log.info("seat taken", extra=self._facts(seat.role, epoch=epoch, worker_id=worker_id))
                    self._spawn(self._relieve(seat.role, epoch))
                    self._owner.installed(seat.role, epoch)
                case FallBack(reason):
                    log.error("seat empty", extra=self._facts(seat.role, reason=reason))
                    self._owner.fell_back(seat.role, reason)
                case Drop(item):
                    log.error("poison dropped", extra=self._facts(seat.role, item=item))
                    self._owner.dropped(seat.role, item)

    async def _offer(self, seat: Seat, epoch: int) -> None:
        offer = SeatOffer(
            call_id=self._brief.call_id,
            role=seat.role,
            epoch=epoch,
            brief=self._brief.for_role(seat.role),
            from_seq=self._owner.first_frame_wanted(),
        )
        question = self._bus.ask(OFFERS[seat.role], offer, timeout_s=OPENED_WITHIN_S)
        asked = asyncio.create_task(question)
        await asyncio.wait({asked}, timeout=ACCEPT_WITHIN_MS / 1000)
        if not asked.done():
            self._do(seat, seat.declined(epoch, self.clock()))
        try:
            accept = await asked
        except BusError as e:
            log.debug("offer declined", extra=self._facts(seat.role, epoch=epoch, reason=str(e)))
            self._do(seat, seat.declined(epoch, self.clock()))
        else:
            self._do(seat, seat.accepted(accept.epoch, accept.worker_id, self.clock()))
            await self._tell_late(seat, accept.epoch)

    async def _tell_late(self, seat: Seat, epoch: int) -> None:
        """What was told while this worker opened its seat, it has not heard."""
        if seat.closed:
            over = CallOver(call_id=self._brief.call_id, generation=self._brief.generation)
            try:
                await self._bus.tell(CALL_OVER, over, call_id=over.call_id)
            except BusError as e:
                log.debug("could not relieve", extra=self._facts(seat.role, epoch=epoch, reason=str(e)))
        elif seat.epoch > epoch:
            await self._relieve(seat.role, seat.epoch)

    async def _relieve(self, role: Role, epoch: int) -> None:
        moved = SeatMoved(role=role, epoch=epoch)
        try:
            await self._bus.tell(SEAT_MOVED, moved, call_id=self._brief.call_id)
        except BusError as e:
            log.debug("could not relieve", extra=self._facts(role, epoch=epoch, reason=str(e)))

    def _facts(self, role: Role, **more: object) -> dict[str, object]:
        return {"call_id": self._brief.call_id, "role": str(role), **more}
