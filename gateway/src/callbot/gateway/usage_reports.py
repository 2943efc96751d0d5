"""What the seats of all calls tell of their use of providers, on its way into the calls' records.

Whichever gateway is asked stores it: the call may be over, and its own gateway gone.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError, Refused
from callbot.schemas.calls import CallEvent
from callbot.schemas.message import Receipt
from callbot.schemas.seats import generation_of
from callbot.schemas.subjects import CALL_EVENT, SEAT_USAGE
from callbot.schemas.usage import SeatUsage, UsageTold

STORED_WITHIN_S: Final = 2.0


@asynccontextmanager
async def taking_usage(bus: Bus) -> AsyncIterator[None]:
    """One gateway of the group takes each report while the block runs. Raises BusError."""

    async def take(report: SeatUsage) -> Receipt:
        """Answered when it is stored; what is asked again has the same id."""
        event = event_of(report)
        try:
            await bus.remember(
                CALL_EVENT,
                event,
                message_id=event.event_id,
                timeout_s=STORED_WITHIN_S,
                call_id=event.call_id,
            )
        except BusError as e:
            raise Refused("unavailable", "It could not be stored. Please tell it again.") from e
        return Receipt()

    listening = await bus.answer(SEAT_USAGE, take, queue=SEAT_USAGE.name)
    try:
        yield
    finally:
        await listening.finish()


def event_of(report: SeatUsage) -> CallEvent:
    return CallEvent(
        event_id=f"{report.call_id}.usage.{report.seat}.{report.epoch}.{report.number}",
        call_id=report.call_id,
        bot_id=report.bot_id,
        user_id=report.user_id,
        generation=generation_of(report.epoch),
        at=datetime.now(UTC),
        fact=UsageTold(
            seat=report.seat, epoch=report.epoch, number=report.number, last=report.last, used=report.used
        ),
    )
