"""Real servers: NATS with the generated permissions, and one that speaks MongoDB's protocol."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pymongo
import pytest
from pydantic import SecretStr

from callbot.call_router.access_tokens import AccessTokens
from callbot.call_router.app import Readiness, answering
from callbot.call_router.mongo import open_database
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.runtime.bus import Bus, connect
from callbot.runtime.keyring import KeyRing
from callbot.schemas.bots import Bot, BotDefinition, CreateBot, VoiceStatus
from callbot.schemas.subjects import BOT_CREATE, Subject
from callbot.schemas.users import Credential
from tests.servers import Server, mongo_server, url_for

ASK_S = 5.0


def ring_text(first: int) -> str:
    """A ring of two keys, `new` and `old`, the same in every process of a test."""
    new, old = (base64.b64encode(bytes([first + n]) * 32).decode() for n in range(2))
    return f"new:{new},old:{old}"


RING_NAMES = ("token_keys", "jwt_keys", "secret_keys", "webhook_keys")
RINGS = {name: ring_text(10 * n) for n, name in enumerate(RING_NAMES)}
TOKENS = AccessTokens(KeyRing.parse(RINGS["jwt_keys"]))


async def remembered(gateway: Bus, row: Subject[Any], told: Any, call_id: str, message_id: str = "") -> None:
    """In the stream, when this returns; a second one of the same `message_id` is dropped there."""
    message_id = message_id or secrets.token_hex(8)
    await gateway.remember(row, told, message_id=message_id, timeout_s=5, call_id=call_id)


async def every_voice_works(voice: str) -> VoiceStatus:
    """For a routing that no bus belongs to."""
    return VoiceStatus.OK


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
    """Open mode; the limits are far away, a test that wants one nearer takes `settings_with`."""
    return Settings(
        nats_url=url_for("call-router", nats),
        mongo_url=f"mongodb://127.0.0.1:{mongo.port}",
        auth="open",
        webhook_http="loopback",
        bots_per_user=500,
        calls_at_once=500,
        auth_attempts_per_address=10_000,
        **{name: SecretStr(ring) for name, ring in RINGS.items()},
    )


def settings_with(settings: Settings, **changed: Any) -> Settings:
    return settings.model_copy(update=changed)


@pytest.fixture(scope="session")
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """Prepared: the indexes are there."""
    async with open_database(settings.mongo_url, settings.mongo_database) as opened:
        prepared = Stores(opened)
        await prepared.prepare()
        yield prepared


@pytest.fixture(scope="session")
async def router(settings: Settings, stores: Stores) -> AsyncIterator[Readiness]:
    """call-router, ready."""
    async with (
        connect(settings.nats_url, speaks_as="call-router") as bus,
        answering(bus, stores, settings) as readiness,
    ):
        await eventually(lambda: all(readiness().values()))
        yield readiness


@pytest.fixture
async def second_replica(settings: Settings) -> AsyncIterator[None]:
    """Another call-router beside `router`, with a bus and a database connection of its own."""
    async with (
        connect(settings.nats_url, speaks_as="call-router") as bus,
        open_database(settings.mongo_url, settings.mongo_database) as database,
        answering(bus, Stores(database), settings) as readiness,
    ):
        await eventually(lambda: all(readiness().values()))
        yield


async def eventually(holds: Callable[[], Any], within_s: float = 10) -> Any:
    """What `holds` returns as soon as it is true."""
    async with asyncio.timeout(within_s):
        while not (found := holds()):
            await asyncio.sleep(0.02)
        return found


def as_user(user_id: str = "public") -> Credential:
    """What this user shows, whether they have signed up or not: `BotRef(credential=as_user("alice"), …)`."""
    return Credential(kind="bearer", value=TOKENS.issue(user_id))


async def new_bot(gateway: Bus, user_id: str = "public", **fields: Any) -> Bot:
    definition = BotDefinition(**{"goal": "Take bookings", "webhook": "https://example.com/hook"} | fields)
    question = CreateBot(credential=as_user(user_id), definition=definition)
    return await gateway.ask(BOT_CREATE, question, timeout_s=ASK_S)
