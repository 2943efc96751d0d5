"""Everything that call-router keeps, over one database."""

from callbot.call_router.bot_store import BotStore
from callbot.call_router.call_log import CallLog
from callbot.call_router.call_store import CallStore
from callbot.call_router.database import Database
from callbot.call_router.user_store import UserStore


class Stores:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.bots = BotStore(database)
        self.calls = CallStore(database)
        self.call_log = CallLog(database)
        self.users = UserStore(database)

    async def prepare(self) -> None:
        """Indexes; by several replicas at once, and again. Raises StoreUnavailable, StoreRejected."""
        for store in (self.bots, self.calls, self.users):
            await store.prepare()

    async def ping(self) -> None:
        """Raises StoreUnavailable."""
        await self._database.ping()
