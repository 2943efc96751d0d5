"""Real servers: NATS with the generated permissions, and one that speaks MongoDB's protocol."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pymongo
import pytest

from callbot.call_router.app import Readiness, answering
from callbot.call_router.mongo import open_store
from callbot.call_router.settings import Settings
from callbot.call_router.store import Store
from callbot.runtime.bus import Bus, connect
from callbot.schemas.bots import Bot, BotDefinition, CreateBot
from callbot.schemas.subjects import BOT_CREATE
from tests.servers import Server, mongo_server, url_for

ASK_S = 5.0


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = mongo_server(tmp_path_factory.mktemp("mongo"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def database(mongo: Server) -> Iterator[Any]:
    """What lies in the database, for looking at it."""
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(f"mongodb://127.0.0.1:{mongo.port}", tz_aware=True)
    yield client["callbot"]
    client.close()


@pytest.fixture(scope="session")
async def gateway(nats: Server) -> AsyncIterator[Bus]:
    async with connect(url_for("gateway", nats), speaks_as="gateway") as bus:
        yield bus


@pytest.fixture(scope="session")
def settings(nats: Server, mongo: Server) -> Settings:
    return Settings(
        nats_url=url_for("call-router", nats),
        mongo_url=f"mongodb://127.0.0.1:{mongo.port}",
        auth="open",
        webhook_http="loopback",
    )


@pytest.fixture(scope="session")
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with open_store(settings.mongo_url, settings.mongo_database) as store:
        yield store


@pytest.fixture(scope="session")
async def router(settings: Settings, store: Store) -> AsyncIterator[Readiness]:
    """call-router, ready."""
    async with (
        connect(settings.nats_url, speaks_as="call-router") as bus,
        answering(bus, store, settings) as readiness,
    ):
        await eventually(lambda: all(readiness().values()))
        yield readiness


async def eventually(holds: Callable[[], Any], within_s: float = 10) -> Any:
    """What `holds` returns as soon as it is true."""
    async with asyncio.timeout(within_s):
        while not (found := holds()):
            await asyncio.sleep(0.02)
        return found


async def new_bot(gateway: Bus, user_id: str = "public", **fields: Any) -> Bot:
    definition = BotDefinition(**{"goal": "Take bookings", "webhook": "https://example.com/hook"} | fields)
    return await gateway.ask(BOT_CREATE, CreateBot(user_id=user_id, definition=definition), timeout_s=ASK_S)
