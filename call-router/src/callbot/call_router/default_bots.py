"""Which of a user's bots takes the number's calls that name none. Collection `users`, field `default_bot_id`.

It is the first that was created, until the user says otherwise. The field is set as long as the user has
bots, so that showing a bot costs no search; where it is missing, the oldest one is it.
"""

from callbot.call_router.bot_store import BotStore, StoredBot
from callbot.call_router.database import Database
from callbot.call_router.user_store import StoredUser

TRIES = 3


class DefaultBots:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database, bots: BotStore) -> None:
        self._users = database.collection("users")
        self._bots = bots

    async def of(self, user_id: str, owner: StoredUser | None) -> StoredBot | None:
        """None: the user has no bot."""
        if owner is not None and owner.default_bot_id is not None:
            bot = await self._bots.get(owner.default_bot_id)
            if bot is not None and bot.user_id == user_id:
                return bot
        return await self._oldest(user_id)

    async def is_default(self, bot: StoredBot, owner: StoredUser | None) -> bool:
        if owner is not None and owner.default_bot_id is not None:
            return owner.default_bot_id == bot.id
        oldest = await self._oldest(bot.user_id)
        return oldest is not None and oldest.id == bot.id

    async def fill(self, user_id: str) -> None:
        """The oldest bot, where none is set."""
        for _ in range(TRIES):
            oldest = await self._oldest(user_id)
            if oldest is None:
                return
            unset = {"user_id": user_id, "default_bot_id": {"$exists": False}}
            if not await self._users.update(unset, {"$set": {"default_bot_id": oldest.id}}):
                return
            if await self._still_there(oldest):
                return

    async def choose(self, bot: StoredBot) -> None:
        await self._users.update({"user_id": bot.user_id}, {"$set": {"default_bot_id": bot.id}})
        if not await self._still_there(bot):
            await self.fill(bot.user_id)

    async def leave(self, user_id: str, bot_id: str) -> bool:
        """It is not this one any more; was it?"""
        wanted = {"user_id": user_id, "default_bot_id": bot_id}
        return await self._users.update(wanted, {"$unset": {"default_bot_id": ""}})

    async def _still_there(self, bot: StoredBot) -> bool:
        """A bot that was deleted while we wrote it down: its deletion may have looked before that."""
        if await self._bots.get(bot.id) is not None:
            return True
        await self.leave(bot.user_id, bot.id)
        return False

    async def _oldest(self, user_id: str) -> StoredBot | None:
        found = await self._bots.of_user(user_id, None, 1)
        return found[0] if found else None
