"""call-router's parts that deal with Twilio, over a real database and a Twilio of the tests' own."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from callbot.call_router import twilio_api
from callbot.call_router.accounts import Accounts
from callbot.call_router.bot_store import StoredBot
from callbot.call_router.database import Collection, Database, StoreUnavailable
from callbot.call_router.instants import utc_now
from callbot.call_router.mongo import open_database
from callbot.call_router.numbers import Numbers
from callbot.call_router.purchases import Purchases
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.call_router.twilio_api import TwilioApi, open_twilio
from callbot.call_router.user_store import StoredUser
from callbot.schemas.numbers import ConnectTwilio, ConnectTwilioBody
from callbot.schemas.users import Credential
from tests.vendors.twilio_rest import Account, TwilioRest, running_twilio

from .conftest import settings_with

PUBLIC_URL = "https://voice.example.com"
NOBODY = Credential()
_ids = itertools.count()


class FaultyDatabase(Database):
    """A real one whose operations can be refused: before they are done, or afterwards, the answer lost."""

    def __init__(self, database: Database) -> None:
        self.real = database
        self.operations = 0
        self.refuses: Callable[[int], bool] = lambda n: False
        self.done_all_the_same = False
        self.meanwhile: Callable[[int], Awaitable[None]] | None = None
        """Happens before an operation is done."""

    def is_well(self) -> None:
        self.operations, self.refuses, self.meanwhile = 0, lambda n: False, None

    def collection(self, name: str) -> Collection:
        return _Faulty(self, self.real.collection(name))  # type: ignore[return-value]

    async def ping(self) -> None:
        await self.real.ping()


class _Faulty:
    def __init__(self, database: FaultyDatabase, collection: Collection) -> None:
        self._database = database
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._collection, name)

        async def doing(*args: Any, **kwargs: Any) -> Any:
            number = self._database.operations
            self._database.operations += 1
            if self._database.meanwhile is not None:
                await self._database.meanwhile(number)
            refused = self._database.refuses(number)
            if refused and not self._database.done_all_the_same:
                raise StoreUnavailable(name)
            answer = await operation(*args, **kwargs)
            if refused:
                raise StoreUnavailable(name)
            return answer

        return doing


@dataclass
class World:
    rest: TwilioRest
    twilio: TwilioApi
    database: FaultyDatabase
    stores: Stores
    settings: Settings
    platform: Account
    passed: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return utc_now() + self.passed

    @property
    def numbers(self) -> Numbers:
        """Of a new process."""
        return Numbers(self.stores, self.twilio, self.settings, self.now)

    @property
    def purchases(self) -> Purchases:
        return Purchases(self.stores, self.twilio, self.settings, self.now)

    @property
    def accounts(self) -> Accounts:
        return Accounts(self.stores, self.settings)

    async def later(self, seconds: float) -> None:
        """The sweeper comes by, after this time."""
        self.passed += timedelta(seconds=seconds)
        await self.purchases.settle()
        await self.numbers.touching.settle()

    async def user(self) -> str:
        user_id = f"user_{next(_ids)}"
        await self.stores.users.add(StoredUser(user_id=user_id, created_at=utc_now()))
        return user_id

    async def bot(self, user_id: str) -> StoredBot:
        bot = StoredBot(
            id=f"bot_{next(_ids)}",
            user_id=user_id,
            created_at=utc_now(),
            goal="Take bookings",
            webhook="https://example.com/hook",
            sealed_webhook_secret="new.x.y",
            context="",
            voice="piper:joe",
            greeting="Hello",
            language="en-US",
            transfer_to=None,
            hints=[],
            suggest="full",
            max_call_seconds=60,
        )
        assert await self.stores.bots.add(bot, 100) is not None
        return bot

    def begins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each test on a good day, with a Twilio that has no three seconds to think."""
        monkeypatch.setattr(twilio_api, "REQUEST_S", 0.2)
        monkeypatch.setattr(twilio_api, "BACKOFF_S", 0.01)
        self.rest.is_well()
        self.rest.asked.clear()
        self.rest.let_go.clear()
        self.database.is_well()

    async def is_emptied(self) -> None:
        """For the next test."""
        self.database.is_well()
        for name in ("bots", "users", "numbers", "purchases"):
            await self.database.collection(name).remove_all({})
        for account in self.rest.accounts.values():
            account.numbers.clear()

    async def is_clean(self) -> None:
        """Nothing is bought, nothing is noted."""
        assert self.platform.numbers == {}
        far = self.now() + timedelta(days=1)
        assert await self.stores.purchases.due(far, 10) == []
        assert await self.stores.numbers.due(far, 10) == []


class Killed(BaseException):
    """From here on no line of ours runs: what a process that was killed leaves behind."""


async def created(world: World, bot: StoredBot) -> str | None:
    """As the creation of a bot does it."""
    try:
        return await world.purchases.buy(bot.id, bot.user_id)
    except BaseException:
        with suppress(StoreUnavailable):
            await world.purchases.release(bot.id)
            await world.stores.bots.remove(bot.user_id, bot.id)
        raise


def asks_to_connect(account: Account, sid: str, token: str | None = None) -> ConnectTwilio:
    body = ConnectTwilioBody(account_sid=account.sid, auth_token=token or account.token, phone_number_sid=sid)
    return ConnectTwilio(credential=NOBODY, body=body)


@asynccontextmanager
async def open_world(settings: Settings, name: str) -> AsyncIterator[World]:
    """With a database of its own: the sweepers of other tests' services stay away."""
    async with (
        running_twilio() as rest,
        open_twilio(rest.url) as twilio,
        open_database(settings.mongo_url, name) as opened,
    ):
        database = FaultyDatabase(opened)
        stores = Stores(database)
        await stores.prepare()
        platform = rest.account()
        ours = settings_with(
            settings,
            public_url=PUBLIC_URL,
            twilio_api_url=rest.url,
            twilio_account_sid=platform.sid,
            twilio_auth_token=SecretStr(platform.token),
        )
        yield World(rest, twilio, database, stores, ours, platform)
