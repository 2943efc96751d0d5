"""Bots of version 1, as they lie in a database that is older than today's program."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest

from callbot.call_router.bot_store import Usage
from callbot.call_router.database import AlreadyThere
from callbot.call_router.mongo import open_database
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.runtime.keyring import KeyRing
from callbot.runtime.sealing import Sealing, webhook_secret_of
from callbot.schemas.bots import BotDefinition
from tests.servers import Server

from .conftest import RINGS

NAME = "older"
AT = datetime(2026, 11, 1, tzinfo=UTC)
SEALING = Sealing(KeyRing.parse(RINGS["webhook_keys"]))


def old_bot(number: int, user_id: str = "public") -> dict[str, Any]:
    """As version 1 wrote it."""
    definition = BotDefinition(
        goal=f"Goal {number}", webhook="https://example.com", webhook_secret=secret(number)
    )
    return {
        **definition.model_dump(mode="json"),
        "id": f"{user_id}_{number}",
        "user_id": user_id,
        "status": "active",
        "created_at": AT + timedelta(seconds=number),
        "schema_version": 1,
    }


def secret(number: int) -> str:
    return f"secret of version 1 {number}".replace(" ", "-")


@pytest.fixture
def bots(mongo: Server) -> Any:
    """What lies in the collection, for looking at it."""
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(f"mongodb://127.0.0.1:{mongo.port}", tz_aware=True)
    with client:
        client.drop_database(NAME)
        yield client[NAME]["bots"]


@pytest.fixture
async def two_stores(settings: Settings) -> AsyncIterator[tuple[Stores, Stores]]:
    async with (
        open_database(settings.mongo_url, NAME) as first,
        open_database(settings.mongo_url, NAME) as second,
    ):
        yield Stores(first), Stores(second)


async def start(stores: Stores) -> None:
    await stores.prepare()
    await stores.migrations.run(SEALING)


async def test_two_replicas_bring_old_bots_to_today(bots: Any, two_stores: tuple[Stores, Stores]) -> None:
    bots.insert_many([old_bot(n) for n in range(12)] + [old_bot(n, "alice") for n in range(3)])
    await asyncio.gather(*(start(stores) for stores in two_stores))
    store = two_stores[0].bots
    for user_id, count in (("public", 12), ("alice", 3)):
        found = await store.of_user(user_id, None, 20)
        assert [bot.goal for bot in found] == [f"Goal {n}" for n in range(count)]
        assert sorted(bot.slot or "" for bot in found) == sorted(f"{user_id}/{n}" for n in range(count))
        for number, bot in enumerate(found):
            assert (bot.version, bot.usage, bot.number) == (1, Usage(), None)
            opened = SEALING.open(bot.sealed_webhook_secret, webhook_secret_of(bot.id))
            assert opened == secret(number)
    assert bots.count_documents({"webhook_secret": {"$exists": True}}) == 0
    assert "secret-of-version" not in str(list(bots.find()))
    assert await two_stores[1].migrations.run(SEALING) == 0


async def test_an_old_bot_works_as_a_new_one(bots: Any, two_stores: tuple[Stores, Stores]) -> None:
    bots.insert_one(old_bot(0))
    await start(two_stores[0])
    store = two_stores[0].bots
    assert await store.change("public", "public_0", {"goal": "New"}, if_version=1)
    assert await store.change("public", "public_0", {"goal": "Newer"}, if_version=1) is None
    assert [await store.take_call("public_0", "2026-11-21", 2) for _ in range(3)] == [True, True, False]
    bot = await store.get("public_0")
    assert bot is not None
    assert await store.add(bot.model_copy(update={"id": "another"}), 2) == 0
    assert await store.add(bot.model_copy(update={"id": "a-third"}), 2) is None
    with pytest.raises(AlreadyThere):
        await two_stores[0].migrations._bots.insert({"id": "by hand", "slot": bot.slot})


async def test_what_an_older_replica_writes_meanwhile_is_not_lost(
    bots: Any, two_stores: tuple[Stores, Stores]
) -> None:
    bots.insert_one(old_bot(0))
    await start(two_stores[0])
    before = bots.find_one({"id": "public_0"})
    changed = {"goal": "By version 1", "webhook_secret": secret(7), "schema_version": 1}
    bots.update_one({"id": "public_0"}, {"$set": changed})
    bots.insert_one(old_bot(1))
    assert await two_stores[1].migrations.run(SEALING) == 2
    first, second = await two_stores[1].bots.of_user("public", None, 2)
    assert (first.goal, first.slot, first.version) == ("By version 1", before["slot"], before["version"])
    assert SEALING.open(first.sealed_webhook_secret, webhook_secret_of(first.id)) == secret(7)
    assert (first.slot, second.slot) == ("public/0", "public/1")


async def test_more_old_bots_than_are_read_at_once(bots: Any, two_stores: tuple[Stores, Stores]) -> None:
    bots.insert_many([old_bot(0, f"user{n}") for n in range(130)])
    await start(two_stores[0])
    assert bots.count_documents({"schema_version": 2}) == 130
