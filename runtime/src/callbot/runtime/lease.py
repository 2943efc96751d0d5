"""One held seat, from its acceptance until it is given up."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError, NoResponders, Refused, TimedOut
from callbot.schemas.calls import CallBrief
from callbot.schemas.message import Receipt, Wire
from callbot.schemas.providers import ProviderFellBack
from callbot.schemas.seats import SeatOffer, SeatRenew
from callbot.schemas.subjects import PROVIDER_FELL_BACK, SEAT_RENEW, Question

M = TypeVar("M", bound=Wire)
log = logging.getLogger(__name__)

REPORT_TIMEOUT_S = 0.5
REPORT_PAUSE_S = 0.1
REFUSED_PAUSE_S = 1.0
REPORT_FOR_S = 30.0


class Lease:
    """One held seat of one call, until it is given up."""

    def __init__(
        self, bus: Bus, offer: SeatOffer, worker_id: str, give_up: Callable[["Lease"], None]
    ) -> None:
        self.call_id = offer.call_id
        self.epoch = offer.epoch
        self.role = offer.role
        self.brief: CallBrief = offer.brief
        self.from_seq = offer.from_seq
        self.worker_id = worker_id
        self.over = False
        self.heard_at_s = time.monotonic()
        self._bus = bus
        self._give_up = give_up
        self._fallbacks = 0

    def admits(self, epoch: int) -> bool:
        """Is a message of this epoch ours? A newer one means that the seat has moved on: it is given up."""
        if self.over or epoch < self.epoch:
            return False
        if epoch > self.epoch:
            self.give_up("superseded")
            return False
        self.heard_at_s = time.monotonic()
        return True

    def give_up(self, reason: str) -> None:
        if not self.over:
            self.over = True
            log.info("seat given up", extra={"call_id": self.call_id, "epoch": self.epoch, "reason": reason})
            self._give_up(self)

    async def report(self, row: Question[M, Receipt], message: M) -> bool:
        """Repeats the message until the gateway has answered. False: the seat is gone, or nobody heard."""
        give_up_at_s = time.monotonic() + REPORT_FOR_S
        while not self.over and time.monotonic() < give_up_at_s:
            try:
                receipt = await self._bus.ask(row, message, timeout_s=REPORT_TIMEOUT_S, call_id=self.call_id)
            except (TimedOut, NoResponders) as e:
                log.debug("reported again", extra={"call_id": self.call_id, "reason": str(e)})
                await asyncio.sleep(REPORT_PAUSE_S)
                continue
            except Refused as e:
                log.error("a report was refused", extra={"call_id": self.call_id, "reason": str(e)})
                await asyncio.sleep(REFUSED_PAUSE_S)
                continue
            if not receipt.accepted:
                self.give_up("report not accepted")
            return receipt.accepted
        return False

    async def fell_back(self, provider: str, reason: str, *, instead: str) -> None:
        """For the call's record: `provider` has failed (an error's code), `instead` has done it, or none."""
        told = ProviderFellBack(
            epoch=self.epoch,
            stage=self.role.value,
            number=self._fallbacks,
            provider=provider,
            reason=reason,
            instead=instead,
        )
        self._fallbacks += 1
        await self.report(PROVIDER_FELL_BACK, told)

    async def renew(self) -> bool | None:
        """Is the seat still ours? None: it could not be found out (our link may be down)."""
        question = SeatRenew(role=self.role, epoch=self.epoch, worker_id=self.worker_id)
        try:
            receipt = await self._bus.ask(SEAT_RENEW, question, timeout_s=2.0, call_id=self.call_id)
        except NoResponders:
            return False
        except BusError:
            return None
        return receipt.accepted
