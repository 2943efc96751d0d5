"""The seats of a user's live calls: how many there are at once. Collection `live_calls`.

One document a user, `{user_id, live: [{call_id, until}]}`: every rule is the condition of one change of it,
so that any number of replicas count right. A seat whose end nobody tells is free again at `until`.
"""

from collections.abc import Callable
from datetime import datetime

from callbot.call_router.database import AlreadyThere, Database
from callbot.call_router.instants import utc_now

TRIES = 3


class LiveCalls:
    """Every method raises StoreUnavailable, StoreRejected."""

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now) -> None:
        self._live = database.collection("live_calls")
        self._now = now

    async def prepare(self) -> None:
        await self._live.index([("user_id", 1)], unique=True)

    async def take(self, user_id: str, call_id: str, until: datetime, limit: int) -> bool:
        """A seat for this call, for ever the same one; False when the user has `limit` others."""
        seat = {"call_id": call_id, "until": until}
        # A list has room for one more while it has no element at the last place.
        with_room = {
            "user_id": user_id,
            "live.call_id": {"$ne": call_id},
            f"live.{limit - 1}": {"$exists": False},
        }
        for _ in range(TRIES):
            if await self._live.update(with_room, {"$push": {"live": seat}}):
                return True
            expired = {"$pull": {"live": {"until": {"$lte": self._now()}}}}
            found = await self._live.change({"user_id": user_id}, expired)
            if found is None:
                try:
                    await self._live.insert({"user_id": user_id, "live": [seat]})
                except AlreadyThere:
                    continue
                return True
            calls = found["live"]
            if any(call["call_id"] == call_id for call in calls):
                return True
            if len(calls) >= limit:
                return False
        return False

    async def extend(self, user_id: str, call_id: str, until: datetime) -> bool:
        """False, and no change: the call has no seat any more."""
        wanted = {"user_id": user_id, "live.call_id": call_id}
        return await self._live.update(wanted, {"$set": {"live.$.until": until}})

    async def free(self, user_id: str, call_id: str) -> None:
        await self._live.update({"user_id": user_id}, {"$pull": {"live": {"call_id": call_id}}})
