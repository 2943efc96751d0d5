"""What older data and other versions do to a running call-router, and what a slow beginning does to calls."""

import asyncio
import secrets
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callbot.call_router import records, sweeper
from callbot.call_router.app import Readiness, answering
from callbot.call_router.mongo import open_database
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import NoResponders
from callbot.schemas.bots import BotPage, BotRef, ListBots
from callbot.schemas.subjects import BOT_GET, BOT_LIST, CALL_EVENT
from tests.servers import mongo_server, nats_server, url_for

from .conftest import ASK_S, as_user, eventually, new_bot, settings_with
from .test_migrations import old_bot
from .test_routing import new_call_id

SLOWER_THAN_ONE_OPERATION_S = 2.0


@pytest.fixture
async def other(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[Settings, Bus]]:
    """A broker and a database of one's own, and its gateway."""
    nats = nats_server(tmp_path)
    nats.start()
    theirs = settings_with(
        settings, nats_url=url_for("call-router", nats), mongo_database=f"u{secrets.token_hex(4)}"
    )
    async with connect(url_for("gateway", nats), speaks_as="gateway") as gateway:
        yield theirs, gateway
    nats.kill()


@asynccontextmanager
async def a_router(settings: Settings) -> AsyncIterator[Readiness]:
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(connect(settings.nats_url, speaks_as="call-router"))
        database = await stack.enter_async_context(open_database(settings.mongo_url, settings.mongo_database))
        yield await stack.enter_async_context(answering(bus, Stores(database), settings))


async def listed(gateway: Bus, user_id: str) -> BotPage:
    return await gateway.ask(BOT_LIST, ListBots(credential=as_user(user_id)), timeout_s=ASK_S)


async def test_bots_that_an_older_replica_makes_meanwhile_become_todays(
    other: tuple[Settings, Bus], database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "EVERY_S", 0.1)
    settings, gateway = other
    bots = database.client[settings.mongo_database]["bots"]
    async with a_router(settings) as readiness:
        await eventually(lambda: all(readiness().values()))
        mine = await new_bot(gateway, "alice")
        bots.insert_one(old_bot(1, "alice"))
        await eventually(lambda: bots.count_documents({"schema_version": 2, "user_id": "alice"}) == 2)
        assert {bot.id for bot in (await listed(gateway, "alice")).bots} == {mine.id, "alice_1"}


async def test_who_has_a_bot_of_an_older_version_can_make_another(stores: Stores, database: Any) -> None:
    """Before it is migrated: an older replica has just made it."""
    from .test_limits import stored_bot

    user_id = f"u{secrets.token_hex(4)}"
    database["bots"].insert_one(old_bot(0, user_id))
    bot = await stored_bot(stores, secrets.token_hex(4))
    try:
        another = bot.model_copy(update={"id": f"{user_id}_new", "user_id": user_id})
        assert await stores.bots.add(another, 1) is None
        assert await stores.bots.add(another, 3) == 1
    finally:
        database["bots"].delete_many({"user_id": user_id})


async def test_an_index_may_take_longer_than_one_operation(settings: Settings, tmp_path: Path) -> None:
    """Of a large collection: the server breaks off what has no time left, and would begin anew for ever."""
    mongo = mongo_server(tmp_path / "mongo")
    mongo.start()
    try:
        async with open_database(f"mongodb://127.0.0.1:{mongo.port}", "slow") as database:
            await database.ping()
            mongo.send(signal.SIGSTOP)
            building = asyncio.create_task(database.collection("calls").index([("x", 1)]))
            await asyncio.wait({building}, timeout=SLOWER_THAN_ONE_OPERATION_S)
            mongo.send(signal.SIGCONT)
            async with asyncio.timeout(5):
                await building
    finally:
        mongo.kill()


async def test_a_replica_takes_no_questions_before_it_can_answer_them(
    other: tuple[Settings, Bus], tmp_path: Path
) -> None:
    settings, gateway = other
    mongo = mongo_server(tmp_path / "mongo")
    theirs = settings_with(settings, mongo_url=f"mongodb://127.0.0.1:{mongo.port}")
    async with a_router(theirs) as readiness:
        await eventually(lambda: readiness().get("streams"))
        with pytest.raises(NoResponders):
            await listed(gateway, "alice")
        async with a_router(settings) as ready:
            await eventually(lambda: all(ready().values()))
            for _ in range(10):
                await listed(gateway, "alice")
        mongo.start()
        try:
            await eventually(lambda: all(readiness().values()))
            await listed(gateway, "alice")
        finally:
            mongo.kill()


async def test_what_has_been_asked_is_answered_before_a_replica_goes(
    other: tuple[Settings, Bus], tmp_path: Path
) -> None:
    settings, gateway = other
    mongo = mongo_server(tmp_path / "mongo")
    mongo.start()
    theirs = settings_with(settings, mongo_url=f"mongodb://127.0.0.1:{mongo.port}")
    async with AsyncExitStack() as stack:
        stack.callback(mongo.kill)
        leaving = AsyncExitStack()
        readiness = await leaving.enter_async_context(a_router(theirs))
        await eventually(lambda: all(readiness().values()))
        bot = await new_bot(gateway, "alice")
        mongo.send(signal.SIGSTOP)
        question = BotRef(credential=as_user("alice"), bot_id=bot.id)
        asked = [asyncio.create_task(gateway.ask(BOT_GET, question, timeout_s=3)) for _ in range(5)]
        await gateway.flush()
        going = asyncio.create_task(leaving.aclose())
        await asyncio.wait({going}, timeout=0.3)
        mongo.send(signal.SIGCONT)
        assert {answer.id for answer in await asyncio.gather(*asked)} == {bot.id}
        await going


async def test_indexes_are_made_again_for_a_database_that_was_restored(
    other: tuple[Settings, Bus], tmp_path: Path
) -> None:
    settings, _ = other
    mongo = mongo_server(tmp_path / "mongo")
    mongo.start()
    theirs = settings_with(settings, mongo_url=f"mongodb://127.0.0.1:{mongo.port}")
    async with AsyncExitStack() as stack:
        stack.callback(mongo.kill)
        readiness = await stack.enter_async_context(a_router(theirs))
        await eventually(lambda: all(readiness().values()))
        mongo.kill()
        await eventually(lambda: not readiness()["mongodb"])
        shutil.rmtree(tmp_path / "mongo")
        mongo.start()
        await eventually(lambda: all(readiness().values()))
        async with open_database(theirs.mongo_url, theirs.mongo_database) as opened:
            indexes = await opened.collection("bots")._collection.index_information()  # type: ignore[attr-defined]
        assert any(index.get("unique") and index["key"] == [("slot", 1)] for index in indexes.values())


@pytest.mark.usefixtures("router")
async def test_an_event_of_a_newer_version_is_left_to_a_newer_replica(
    gateway: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """During a deploy both pull from the same consumer; what one of them cannot read, the other may."""
    monkeypatch.setattr(records, "REDELIVER_AFTER_S", 0.02)
    told: list[int] = []

    async def again_or_never(msg: Any, reason: str) -> None:
        told.append(msg.metadata.num_delivered)
        await really(msg, reason)

    really = records.again_or_never
    monkeypatch.setattr(records, "again_or_never", again_or_never)
    newer = b'{"event_id": "e", "fact": {"kind": "of tomorrow"}}'
    await gateway.jetstream().publish(CALL_EVENT.of(call_id=new_call_id()), newer)
    await eventually(lambda: told == list(range(1, records.TRIES + 1)))
    assert [r.message for r in caplog.records if r.message == "a message is dropped"] == [
        "a message is dropped"
    ]
