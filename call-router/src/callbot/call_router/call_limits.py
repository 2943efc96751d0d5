"""How many calls there may be: of a bot in a day, of a user at once. Counted before a call is kept."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from callbot.call_router.bot_store import StoredBot
from callbot.call_router.call_store import CallRecord
from callbot.call_router.database import StoreRejected, StoreUnavailable
from callbot.call_router.instants import day_in
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.schemas.bots import BotStatus
from callbot.schemas.calls import RouteVerdict

UNTIL_ITS_STREAM = timedelta(minutes=2)
"""How long a call whose stream has not begun counts as one of its user's live calls."""
AFTER_THE_LONGEST = timedelta(minutes=5)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Permit:
    """What a call has been given; it is settled once its record is kept."""

    verdict: RouteVerdict
    day: str = ""
    """In the owner's time zone; of CONNECT, the day that the call was counted for."""


class CallLimits:
    """Every method but `stream_begins` raises StoreUnavailable, StoreRejected."""

    def __init__(self, stores: Stores, settings: Settings, now: Callable[[], datetime]) -> None:
        self._bots, self._users, self._live = stores.bots, stores.users, stores.live_calls
        self._calls_a_day = settings.calls_per_bot_a_day
        self._at_once = settings.calls_at_once
        self._now = now

    async def ask(self, bot: StoredBot, call_id: str) -> Permit:
        """CONNECT has taken a seat among the user's live calls and one of the bot's calls of the day.

        A call that is asked for twice at the same time may be counted twice until it is settled, and a crash
        in between leaves it counted: there is never one call too many.
        """
        if bot.status is BotStatus.PAUSED:
            return Permit(RouteVerdict.PAUSED)
        owner = await self._users.get(bot.user_id)
        until = self._now() + UNTIL_ITS_STREAM
        if not await self._live.take(bot.user_id, call_id, until, self._at_once):
            return Permit(RouteVerdict.BUSY)
        day = day_in(owner.timezone if owner else "UTC", self._now())
        if not await self._bots.take_call(bot.id, day, self._calls_a_day):
            return Permit(RouteVerdict.DAILY_LIMIT)
        return Permit(RouteVerdict.CONNECT, day)

    async def settle(self, permit: Permit, bot: StoredBot, kept: CallRecord, *, ours: bool) -> None:
        """Gives back what the call does not need: `kept` is its record, `ours` if with this permit."""
        if not ours and permit.verdict is RouteVerdict.CONNECT:
            await self._bots.give_back_call(bot.id, permit.day)
        if kept.verdict is not RouteVerdict.CONNECT:
            # Not before the record says so: the seat may be the same call's, asked for by another replica.
            await self._live.free(bot.user_id, kept.call_id)

    async def stream_begins(self, call: CallRecord, bot: StoredBot) -> bool:
        """False: the call has waited so long that others have its seat, and there is no other one."""
        until = self._now() + timedelta(seconds=bot.max_call_seconds) + AFTER_THE_LONGEST
        try:
            seated = await self._live.extend(call.user_id, call.call_id, until)
            return seated or await self._live.take(call.user_id, call.call_id, until, self._at_once)
        except (StoreUnavailable, StoreRejected) as e:
            # The stream has been admitted; that the call is counted too short is better than that it ends.
            log.warning("a live call keeps its short seat", extra={"call_id": call.call_id, "reason": str(e)})
            return True

    async def comes_back(self, call: CallRecord) -> bool:
        """After its transfer; False: others have its seat by now, and there is no other one."""
        until = self._now() + UNTIL_ITS_STREAM
        return await self._live.take(call.user_id, call.call_id, until, self._at_once)

    async def call_ended(self, call: CallRecord) -> None:
        await self._live.free(call.user_id, call.call_id)
