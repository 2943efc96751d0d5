"""Numbers at which we are changing something, or still have to. Collection `numbers`.

Written before Twilio is asked and gone when all is settled: a process may die in between, and what a number
was before is still known. Who holds such a note works on the number; nobody else does meanwhile.
"""

from datetime import datetime

from pydantic import Field

from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database
from callbot.schemas.message import Message, Timestamp, UserId


class TouchedNumber(Message):
    phone_number_sid: str
    user_id: UserId
    account_sid: str
    sealed_auth_token: str = Field(repr=False)
    """Bound to `auth_token_of(user_id)`."""
    before: dict[str, str]
    """As `StoredNumber.before`."""
    since: Timestamp
    held_until: Timestamp
    """Then whoever held it is dead, or has left it to the sweeper."""


class NumberStore:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._numbers = database.collection("numbers")

    async def prepare(self) -> None:
        await self._numbers.index([("phone_number_sid", 1)], unique=True)
        await self._numbers.index([("held_until", 1)])

    async def get(self, phone_number_sid: str) -> TouchedNumber | None:
        found = await self._numbers.one({"phone_number_sid": phone_number_sid})
        return None if found is None else TouchedNumber.model_validate(found)

    async def hold(self, touched: TouchedNumber, seen: TouchedNumber | None, now: datetime) -> bool:
        """In place of the note that was `seen`, if nobody holds that any more. False: somebody does."""
        document = {**touched.model_dump(), "schema_version": SCHEMA_VERSION}
        if seen is None:
            try:
                await self._numbers.insert(document)
            except AlreadyThere:
                return False
            return True
        if seen.held_until > now:
            return False
        return await self._numbers.update(_same(seen), {"$set": document})

    async def free(self, touched: TouchedNumber, until: datetime) -> None:
        """The sweeper may go on from `until`; no effect if somebody else holds it already."""
        await self._numbers.update(_same(touched), {"$set": {"held_until": until}})

    async def forget(self, touched: TouchedNumber) -> None:
        await self._numbers.remove(_same(touched))

    async def due(self, now: datetime, limit: int) -> list[TouchedNumber]:
        wanted = {"held_until": {"$lte": now}}
        found = await self._numbers.many(wanted, sort=[("held_until", 1)], limit=limit)
        return [TouchedNumber.model_validate(one) for one in found]


def _same(touched: TouchedNumber) -> dict[str, object]:
    return {"phone_number_sid": touched.phone_number_sid, "held_until": touched.held_until}
