"""Bots in the database. Collection `bots`."""

from collections.abc import Mapping
from datetime import datetime

from callbot.call_router.database import SCHEMA_VERSION, Database
from callbot.schemas.bots import BotStatus, Suggest
from callbot.schemas.message import BotId, Message, Timestamp, UserId
from callbot.schemas.turn_taking import Phrases, TurnTaking


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


class BotStore:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._bots = database.collection("bots")

    async def prepare(self) -> None:
        await self._bots.index([("id", 1)], unique=True)
        await self._bots.index([("user_id", 1), ("created_at", 1), ("id", 1)])

    async def add(self, bot: StoredBot) -> None:
        await self._bots.insert({**bot.model_dump(), "schema_version": SCHEMA_VERSION})

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
        known = {field: value for field, value in changes.items() if field in StoredBot.model_fields}
        wanted = {"id": bot_id, "user_id": user_id}
        update = {"$set": {**known, "schema_version": SCHEMA_VERSION}, "$inc": {"version": 1}}
        found = await self._bots.change(wanted, update)
        return None if found is None else StoredBot.model_validate(found)

    async def remove(self, user_id: str, bot_id: str) -> bool:
        return await self._bots.remove({"id": bot_id, "user_id": user_id})
