"""What the API shows of calls, and how one is erased."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from callbot.call_router.call_remains import RemainsKept, purge_remains
from callbot.call_router.call_store import CallRecord
from callbot.call_router.cursors import cursor_of, read_cursor
from callbot.call_router.instants import utc_now
from callbot.call_router.prices import Prices, priced
from callbot.call_router.stores import Stores
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.calls import CallDetail, CallPage, CallRef, ListCalls
from callbot.schemas.message import UserId
from callbot.schemas.users import Done

MAX_ANSWER_BYTES = 900_000
"""The broker carries no message over 1 MiB."""
LONGEST_CALL = timedelta(seconds=14_400 + 300)
"""After that a call whose end nobody has told is over; the longest that a bot may allow, and some minutes."""
STREAM_BEGINS_WITHIN = timedelta(minutes=2)
"""After that the token of a call's first stream is worth nothing."""
JOURNAL_SETTLES_WITHIN = timedelta(seconds=0.7)
"""A gateway writes the last state of a call just after it has told its end."""
PURGED_WITHIN_S = 0.6


class Calls:
    def __init__(
        self,
        stores: Stores,
        bus: Bus,
        now: Callable[[], datetime] = utc_now,
        *,
        prices: Prices | None = None,
    ) -> None:
        self._stores = stores
        self._log = stores.call_log
        self._bus = bus
        self._now = now
        self._prices = prices

    async def get(self, user_id: UserId, question: CallRef) -> CallDetail:
        """Of a very long call the newest turns. It costs what the prices of today say."""
        stored = await self._log.detail(user_id, question.call_id)
        if stored is None:
            raise _call_not_found()
        usage, cost = priced(stored.used, self._prices, counted=stored.counted)
        found = stored.detail.model_copy(update={"usage": usage, "cost": cost})
        while len(found.encode()) > MAX_ANSWER_BYTES and found.turns:
            kept = found.turns[len(found.turns) // 2 + 1 :]
            omitted = found.turns_omitted + len(found.turns) - len(kept)
            found = found.model_copy(update={"turns": kept, "turns_omitted": omitted})
        return found

    async def list(self, user_id: UserId, question: ListCalls) -> CallPage:
        """Newest first; a page stays what it was while calls come in."""
        after = read_cursor(question.cursor) if question.cursor else None
        found = await self._log.page(user_id, question.bot_id, after, question.limit + 1)
        page, more = found[: question.limit], len(found) > question.limit
        return CallPage(
            calls=[call for _, call in page],
            next_cursor=cursor_of(page[-1][0], page[-1][1].call_id) if more else None,
        )

    async def delete(self, user_id: UserId, question: CallRef) -> Done:
        """From every store. The record goes last: what breaks off on the way is asked for again."""
        call_id = question.call_id
        record, now = await self.require_over(user_id, call_id), self._now()
        if record.ended_at is not None:
            settled_in = min(record.ended_at - now, timedelta()) + JOURNAL_SETTLES_WITHIN
            await asyncio.sleep(max(0.0, settled_in.total_seconds()))
        await self._log.forget(call_id, now)
        try:
            await purge_remains(self._bus.jetstream(PURGED_WITHIN_S), call_id)
        except RemainsKept as e:
            raise Refused("unavailable", "The call is not erased yet. Please try again.") from e
        await self._stores.recordings.erase(call_id)
        await self._stores.live_calls.free(user_id, call_id)
        await self._log.remove(call_id)
        return Done(message="Call deleted")

    async def require_own(self, user_id: UserId, call_id: str) -> CallRecord:
        """Raises Refused(`call_not_found`)."""
        record = await self._stores.calls.get(call_id)
        if record is None or record.user_id != user_id:
            raise _call_not_found()
        return record

    async def require_over(self, user_id: UserId, call_id: str) -> CallRecord:
        """Raises Refused(`call_not_found`, `call_live`)."""
        record = await self.require_own(user_id, call_id)
        if _is_live(record, self._now()):
            raise Refused("call_live", "The call is going on.")
        return record


def _call_not_found() -> Refused:
    return Refused("call_not_found", "There is no such call.")


def _is_live(record: CallRecord, now: datetime) -> bool:
    """A call that was never connected has ended as soon as it was routed."""
    if record.ended_at is not None:
        return False
    if record.generation == 0:
        return now - record.token_issued_at < STREAM_BEGINS_WITHIN
    return now - record.routed_at < LONGEST_CALL
