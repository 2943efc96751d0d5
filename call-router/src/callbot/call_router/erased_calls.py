"""Which calls have been erased, so that a late event does not bring one back. Collection `erased`."""

from datetime import datetime

from callbot.call_router.database import AlreadyThere, Database

REMEMBERED_S = 8 * 24 * 3600
"""A day longer than the events of a call are kept: after that there is none that could come late."""


class ErasedCalls:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._erased = database.collection("erased")

    async def prepare(self) -> None:
        await self._erased.index([("call_id", 1)], unique=True)
        await self._erased.index([("erased_at", 1)], expire_after_s=REMEMBERED_S)

    async def add(self, call_id: str, now: datetime) -> None:
        try:
            await self._erased.insert({"call_id": call_id, "erased_at": now})
        except AlreadyThere:
            # An erasure that broke off is done again.
            return

    async def has(self, call_id: str) -> bool:
        return await self._erased.one({"call_id": call_id}) is not None
