"""Bots in the database. Collection `bots`."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database
from callbot.schemas.bots import BotStatus, Suggest
from callbot.schemas.message import BotId, Message, Timestamp, UserId
from callbot.schemas.turn_taking import Phrases, TurnTaking

TRIES = 3
MOST_AHEAD = timedelta(days=2)
"""Between the dates of two time zones. A counter beyond was begun by a clock that was wrong."""


class Usage(Message):
    """How many calls a bot has taken on one day of its owner's time zone."""

    day: str = ""
    """`2026-11-21`; empty: none yet."""
    calls: int = 0


class StoredBot(Message):
    id: BotId
    user_id: UserId
    status: BotStatus = BotStatus.ACTIVE
    created_at: Timestamp
    """To the millisecond, as the database keeps it."""
    version: int = 1
    number: str | None = None
    """The number that was bought for this bot."""
    goal: str
    webhook: str
    sealed_webhook_secret: str
    context: str
    voice: str
    greeting: str
    language: str
    transfer_to: str | None
    hints: list[str]
    suggest: Suggest
    max_call_seconds: int
    turn: TurnTaking = TurnTaking()
    phrases: Phrases = Phrases()
    protect_greeting: bool = False
    record: bool = False
    slot: str | None = None
    """One of its owner's places for bots, see `slot_of`; unique, so that nobody has one bot too many."""
    usage: Usage = Usage()

    def calls_on(self, day: str) -> int:
        """A counter that is ahead of `day` counts for it too, see `BotStore.take_call`."""
        return self.usage.calls if day <= self.usage.day <= _last_day_with(day) else 0


def _last_day_with(day: str) -> str:
    return (date.fromisoformat(day) + MOST_AHEAD).isoformat()


def slot_of(user_id: str, number: int) -> str:
    return f"{user_id}/{number}"


class BotStore:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._bots = database.collection("bots")

    async def prepare(self) -> None:
        await self._bots.index([("id", 1)], unique=True)
        await self._bots.index([("user_id", 1), ("created_at", 1), ("id", 1)])
        await self._bots.index([("slot", 1)], unique=True, sparse=True)
        await self._bots.index([("schema_version", 1)])

    async def add(self, bot: StoredBot, limit: int) -> int | None:
        """Into a free place of its owner; how many are left then, None when there is none.

        Two who want the same place: the unique index lets one of them have it, the other tries the next.
        """
        others = await self._bots.many({"user_id": bot.user_id}, fields=("slot",))
        # One that an older replica has just made has no place yet.
        taken = {other.get("slot") for other in others}
        free = [slot for n in range(limit) if (slot := slot_of(bot.user_id, n)) not in taken]
        # More than `limit` there may be where it has been lowered.
        free = free[: max(0, limit - len(others))]
        for tried, slot in enumerate(free, start=1):
            document = {**bot.model_dump(), "slot": slot, "schema_version": SCHEMA_VERSION}
            try:
                await self._bots.insert(document)
            except AlreadyThere:
                continue
            return len(free) - tried
        return None

    async def get(self, bot_id: str) -> StoredBot | None:
        found = await self._bots.one({"id": bot_id})
        return None if found is None else StoredBot.model_validate(found)

    async def of_user(self, user_id: str, after: tuple[datetime, str] | None, limit: int) -> list[StoredBot]:
        """Oldest first, beginning behind the bot that was created at `after[0]` and is called `after[1]`."""
        wanted: dict[str, object] = {"user_id": user_id}
        if after is not None:
            at, bot_id = after
            wanted["$or"] = [{"created_at": {"$gt": at}}, {"created_at": at, "id": {"$gt": bot_id}}]
        found = await self._bots.many(wanted, sort=[("created_at", 1), ("id", 1)], limit=limit)
        return [StoredBot.model_validate(bot) for bot in found]

    async def change(
        self, user_id: str, bot_id: str, changes: Mapping[str, object], if_version: int | None = None
    ) -> StoredBot | None:
        """What it is afterwards; None: no such bot, or not at `if_version`. No changes, no new version."""
        known = {field: value for field, value in changes.items() if field in StoredBot.model_fields}
        wanted: dict[str, object] = {"id": bot_id, "user_id": user_id}
        if if_version is not None:
            wanted["version"] = if_version
        update = {"$set": {**known, "schema_version": SCHEMA_VERSION}, "$inc": {"version": 1}}
        found = await (self._bots.change(wanted, update) if changes else self._bots.one(wanted))
        return None if found is None else StoredBot.model_validate(found)

    async def count_of_user(self, user_id: str) -> int:
        return await self._bots.count({"user_id": user_id})

    async def set_number(self, bot_id: str, number: str) -> bool:
        """The one that was bought for this bot; False: there is no such bot any more."""
        return await self._bots.update({"id": bot_id}, {"$set": {"number": number}})

    async def lose_number(self, bot_id: str, number: str) -> None:
        """The one that was bought for this bot has been given back."""
        await self._bots.update({"id": bot_id, "number": number}, {"$set": {"number": None}})

    async def remove(self, user_id: str, bot_id: str) -> bool:
        return await self._bots.remove({"id": bot_id, "user_id": user_id})

    async def take_call(self, bot_id: str, day: str, limit: int) -> bool:
        """One more call of this bot on this day; False when it has had `limit`, or there is no such bot.

        The counter's day never goes back: two replicas at midnight, or an owner who moves to another time
        zone and back again, do not begin the same day twice.
        """
        counted = {"$gte": day, "$lte": _last_day_with(day)}
        same_day = {"id": bot_id, "usage.day": counted, "usage.calls": {"$lt": limit}}
        new_day = {"id": bot_id, "usage.day": {"$not": counted}}
        for _ in range(TRIES):
            if await self._bots.update(same_day, {"$inc": {"usage.calls": 1}}):
                return True
            if await self._bots.update(new_day, {"$set": {"usage": {"day": day, "calls": 1}}}):
                return True
            # Between the two another replica may have begun the day: then once more.
        return False

    async def give_back_call(self, bot_id: str, day: str) -> None:
        """A call that was counted by mistake."""
        wanted = {"id": bot_id, "usage.day": day, "usage.calls": {"$gt": 0}}
        await self._bots.update(wanted, {"$inc": {"usage.calls": -1}})
