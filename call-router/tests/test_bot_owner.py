"""What a bot has from its owner: a place, the day of its calls, a number, being the default."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from callbot.call_router.bot_store import StoredBot
from callbot.call_router.bots import Bots
from callbot.call_router.instants import utc_now
from callbot.call_router.purchases import Purchases
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.call_router.twilio_api import open_twilio
from callbot.call_router.user_store import StoredNumber, StoredUser
from callbot.call_router.voices import Voices
from callbot.call_router.webhook_check import WebhookCheck
from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import Refused
from callbot.runtime.keyring import KeyRing
from callbot.runtime.sealing import Sealing
from callbot.runtime.webhook_address import WebhookAddresses
from callbot.schemas.bots import (
    BotDefinition,
    BotRef,
    CreateBot,
    ListBots,
)
from tests.servers import free_port

from .conftest import RINGS, as_user, new_bot, settings_with
from .test_bots import change, delete, get

pytestmark = pytest.mark.usefixtures("router")
SEALING = Sealing(KeyRing.parse(RINGS["webhook_keys"]))
MIDNIGHT_IN_BERLIN = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)


class Clock:
    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
async def bots(settings: Settings, stores: Stores, clock: Clock) -> AsyncIterator[Bots]:
    """Without a bus before them, at a time of the test."""
    async with open_bots(settings, stores, clock) as opened:
        yield opened


@asynccontextmanager
async def open_bots(settings: Settings, stores: Stores, now: Callable[[], datetime]) -> AsyncIterator[Bots]:
    async with (
        connect(settings.nats_url, speaks_as="call-router") as bus,
        open_twilio(settings.twilio_api_url) as twilio,
    ):
        yield Bots(
            stores,
            bus=bus,
            sealing=SEALING,
            webhooks=WebhookCheck(WebhookAddresses("never")),
            voices=Voices(bus),
            purchases=Purchases(stores, twilio, settings),
            limit=settings.bots_per_user,
            now=now,
        )


def question(user_id: str, webhook: str = "https://example.com") -> CreateBot:
    return CreateBot(credential=as_user(user_id), definition=BotDefinition(goal="x", webhook=webhook))


async def add_user(stores: Stores, user_id: str, **fields: Any) -> None:
    await stores.users.add(StoredUser(user_id=user_id, created_at=utc_now(), **fields))


async def test_bots_of_the_same_millisecond_are_all_listed(bots: Bots) -> None:
    made = {(await bots.create("twins", question("twins"))).id for _ in range(4)}
    who = as_user("twins")
    first = await bots.list("twins", ListBots(credential=who, limit=3))
    rest = await bots.list("twins", ListBots(credential=who, limit=3, cursor=first.next_cursor))
    assert len(first.bots) == 3
    assert {bot.id for bot in [*first.bots, *rest.bots]} == made


async def test_the_day_of_a_bots_calls_is_its_owners(bots: Bots, stores: Stores, clock: Clock) -> None:
    await add_user(stores, "berliner", timezone="Europe/Berlin")
    bot = await bots.create("berliner", question("berliner"))
    ref = BotRef(credential=as_user("berliner"), bot_id=bot.id)
    for _ in range(3):
        assert await stores.bots.take_call(bot.id, "2026-11-21", 100)

    async def counted() -> list[int]:
        listed = await bots.list("berliner", ListBots(credential=ref.credential))
        return [(await bots.get("berliner", ref)).calls_today, listed.bots[0].calls_today]

    clock.at = MIDNIGHT_IN_BERLIN - timedelta(milliseconds=1)
    assert await counted() == [3, 3]
    clock.at = MIDNIGHT_IN_BERLIN
    assert await counted() == [0, 0]
    await stores.users.set_timezone("berliner", "UTC")
    assert await counted() == [3, 3]


async def test_a_bots_number_is_its_owners_or_its_own(bots: Bots, stores: Stores, clock: Clock) -> None:
    await add_user(stores, "connected")
    bot = await bots.create("connected", question("connected"))
    ref = BotRef(credential=as_user("connected"), bot_id=bot.id)
    assert bot.number is None
    number = StoredNumber(
        phone_number="+14155550100", phone_number_sid="PN" + "0" * 32, account_sid="AC" + "0" * 32,
        sealed_auth_token="x", before={}, connected_at=utc_now(),
    )  # fmt: skip
    await stores.users.set_number("connected", number)
    assert (await bots.get("connected", ref)).number == "+14155550100"
    clock.at += timedelta(milliseconds=1)
    assert (await bots.create("connected", question("connected"))).number == "+14155550100"
    assert await stores.bots.set_number(bot.id, "+14155550199")
    listed = await bots.list("connected", ListBots(credential=ref.credential))
    assert [one.number for one in listed.bots] == ["+14155550100", "+14155550100"]
    await stores.users.set_number("connected", None)
    listed = await bots.list("connected", ListBots(credential=ref.credential))
    assert [one.number for one in listed.bots] == ["+14155550199", None]
    assert (await bots.get("connected", ref)).number == "+14155550199"


async def test_the_first_bot_is_the_default_until_another_one_is(gateway: Bus, stores: Stores) -> None:
    await add_user(stores, "defaulter")
    first, second, third = [await new_bot(gateway, "defaulter") for _ in range(3)]
    assert [bot.default for bot in (first, second, third)] == [True, False, False]
    assert (await change(gateway, third.id, "defaulter", default=True)).default

    async def default() -> list[str]:
        made = [await get(gateway, bot.id, "defaulter") for bot in (first, second, third)]
        return [bot.id for bot in made if bot.default]

    assert await default() == [third.id]
    assert not (await change(gateway, second.id, "defaulter", default=False)).default
    assert await default() == [third.id]
    assert not (await change(gateway, third.id, "defaulter", default=False)).default
    assert await default() == [first.id]
    assert (await change(gateway, first.id, "defaulter", default=False)).default


async def test_the_oldest_bot_follows_a_default_that_is_deleted(gateway: Bus, stores: Stores) -> None:
    await add_user(stores, "deleter")
    first, second, third = [await new_bot(gateway, "deleter") for _ in range(3)]
    await change(gateway, third.id, "deleter", default=True)
    for gone, follows in ((third, first), (first, second)):
        await delete(gateway, gone.id, "deleter")
        assert (await get(gateway, follows.id, "deleter")).default
        owner = await stores.users.get("deleter")
        assert owner is not None and owner.default_bot_id == follows.id
        taking = await stores.default_bots.of("deleter", owner)
        assert taking is not None and taking.id == follows.id
    await delete(gateway, second.id, "deleter")
    assert await stores.default_bots.of("deleter", await stores.users.get("deleter")) is None
    assert (await new_bot(gateway, "deleter")).default


async def test_a_default_that_is_deleted_while_it_is_chosen_is_none(stores: Stores, bots: Bots) -> None:
    await add_user(stores, "chooser")
    kept, gone = [await bots.create("chooser", question("chooser")) for _ in range(2)]
    stored = await stores.bots.get(gone.id)
    assert stored is not None
    await bots.delete("chooser", BotRef(credential=as_user("chooser"), bot_id=gone.id))
    await stores.default_bots.choose(stored)
    owner = await stores.users.get("chooser")
    assert owner is not None and owner.default_bot_id == kept.id


async def test_a_bot_whose_number_cannot_be_bought_leaves_nothing(settings: Settings, stores: Stores) -> None:
    account = {"twilio_account_sid": "AC" + "0" * 32, "twilio_auth_token": SecretStr("x")}
    nobody = f"http://127.0.0.1:{free_port()}"
    buying = settings_with(settings, bots_per_user=1, twilio_api_url=nobody, **account)
    async with open_bots(buying, stores, utc_now) as bots:
        for _ in range(2):
            with pytest.raises(Refused, match="twilio_unavailable"):
                await bots.create("buyer", question("buyer"))
    assert await stores.bots.of_user("buyer", None, 1) == []


async def test_two_bots_cannot_have_one_id(stores: Stores) -> None:
    bot = StoredBot(
        id="twice", user_id="u", created_at=utc_now(), sealed_webhook_secret="x",
        **BotDefinition(goal="x", webhook="https://example.com").model_dump(exclude={"webhook_secret"}),
    )  # fmt: skip
    assert await stores.bots.add(bot, 2) == 1
    assert await stores.bots.add(bot, 2) is None
