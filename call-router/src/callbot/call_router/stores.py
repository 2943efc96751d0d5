"""Everything that call-router keeps, over one database."""

from callbot.call_router.api_key_store import ApiKeyStore
from callbot.call_router.attempts import AttemptStore
from callbot.call_router.bot_store import BotStore
from callbot.call_router.call_log import CallLog
from callbot.call_router.call_store import CallStore
from callbot.call_router.database import Database
from callbot.call_router.default_bots import DefaultBots
from callbot.call_router.erased_calls import ErasedCalls
from callbot.call_router.live_calls import LiveCalls
from callbot.call_router.migrations import Migrations
from callbot.call_router.number_store import NumberStore
from callbot.call_router.purchase_store import PurchaseStore
from callbot.call_router.recording_store import DatabaseRecordings, RecordingStore
from callbot.call_router.user_store import UserStore


class Stores:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.bots = BotStore(database)
        self.calls = CallStore(database)
        self.call_log = CallLog(database)
        self.users = UserStore(database)
        self.api_keys = ApiKeyStore(database)
        self.attempts = AttemptStore(database)
        self.live_calls = LiveCalls(database)
        self.default_bots = DefaultBots(database, self.bots)
        self.numbers = NumberStore(database)
        self.purchases = PurchaseStore(database)
        self.recordings: RecordingStore = DatabaseRecordings(database)
        self.erased_calls = ErasedCalls(database)
        self.migrations = Migrations(database)

    async def prepare(self) -> None:
        """Indexes; by several replicas at once, and again. Raises StoreUnavailable, StoreRejected."""
        for store in (
            self.bots,
            self.calls,
            self.call_log,
            self.users,
            self.api_keys,
            self.attempts,
            self.live_calls,
            self.numbers,
            self.purchases,
            self.recordings,
        ):
            await store.prepare()

    async def ping(self) -> None:
        """Raises StoreUnavailable."""
        await self._database.ping()
