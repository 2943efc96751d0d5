"""The service as a process that is killed in the middle of a purchase, and started again."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import BusError
from callbot.schemas.bots import BotDefinition, CreateBot
from callbot.schemas.subjects import BOT_CREATE
from callbot.schemas.users import Credential
from tests.servers import Server, mongo_server, nats_server, url_for
from tests.vendors.twilio_rest import Account, TwilioRest, running_twilio

from .conftest import RINGS, eventually

A_BOT = CreateBot(
    credential=Credential(), definition=BotDefinition(goal="Test", webhook="https://192.0.2.1/hook")
)


@pytest.fixture
def servers(tmp_path: Any) -> Iterator[tuple[Server, Server]]:
    nats, mongo = nats_server(tmp_path), mongo_server(tmp_path / "mongo")
    nats.start()
    mongo.start()
    yield nats, mongo
    nats.kill()
    mongo.kill()


@pytest.fixture
async def rest() -> AsyncIterator[TwilioRest]:
    async with running_twilio() as rest:
        yield rest


@contextmanager
def service(
    servers: tuple[Server, Server], rest: TwilioRest, account: Account
) -> Iterator[subprocess.Popen[bytes]]:
    nats, mongo = servers
    environment = {
        **os.environ,
        "NATS_URL": url_for("call-router", nats),
        "MONGO_URL": f"mongodb://127.0.0.1:{mongo.port}",
        "CALLBOT_AUTH": "open",
        "CALLBOT_WEBHOOK_ALLOW": "192.0.2.0/24",
        "CALLBOT_TWILIO_API_URL": rest.url,
        "CALLBOT_TWILIO_ACCOUNT_SID": account.sid,
        "CALLBOT_TWILIO_AUTH_TOKEN": account.token,
        **{f"CALLBOT_{name.upper()}": ring for name, ring in RINGS.items()},
    }
    process = subprocess.Popen([sys.executable, "-m", "callbot.call_router"], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


async def asked_until_twilio_is(gateway: Bus, rest: TwilioRest) -> None:
    """Creates a bot as soon as the service is there."""
    while not rest.reached["buy"].is_set():
        try:
            await gateway.ask(BOT_CREATE, A_BOT, timeout_s=0.5)
        except BusError:
            await asyncio.sleep(0.1)


async def test_what_a_killed_process_was_buying_is_given_back(
    servers: tuple[Server, Server], rest: TwilioRest
) -> None:
    import pymongo

    account = rest.account()
    rest.has("buy", "late", always=True)
    with pymongo.MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{servers[1].port}") as client:
        purchases = client["callbot"]["purchases"]
        with service(servers, rest, account) as process:
            async with connect(url_for("gateway", servers[0]), speaks_as="gateway") as gateway:
                await asyncio.wait_for(asked_until_twilio_is(gateway, rest), 30)
            process.kill()
            process.wait(10)
        rest.let_go.set()
        await eventually(lambda: account.numbers)
        assert [found["state"] for found in purchases.find()] == ["buying"]

        # A minute later.
        purchases.update_many({}, {"$set": {"due_at": datetime.now(UTC)}})
        with service(servers, rest, account):
            await eventually(lambda: not account.numbers, within_s=30)
            await eventually(lambda: purchases.count_documents({}) == 0)
    assert len(rest.of("buy")) == 1
