"""The service as a process: it starts before its database, survives its servers, and stops when told."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pytest

from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import BusError, NoResponders, Refused
from callbot.schemas.bots import BotPage, ListBots
from callbot.schemas.subjects import BOT_LIST
from tests.servers import Server, free_port, mongo_server, nats_server, url_for

from .conftest import RINGS, as_user, eventually, new_bot
from .test_records import assert_whole, story, tell
from .test_routing import new_call_id

GATEWAY_WAITS_S = 2.0
RING_VARIABLES = {f"CALLBOT_{name.upper()}": ring for name, ring in RINGS.items()}


@dataclass
class Platform:
    nats: Server
    mongo: Server
    health_port: int
    process: subprocess.Popen[str]

    def ready(self) -> dict[str, bool]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/ready", timeout=5) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as e:
            with e:
                found = json.load(e)
        except OSError:
            return {}
        checks: dict[str, bool] = found["checks"]
        return checks

    def is_ready(self) -> bool:
        checks = self.ready()
        return bool(checks) and all(checks.values())


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    nats, mongo = nats_server(tmp_path), mongo_server(tmp_path / "mongo")
    nats.start()
    port = free_port()
    environment = {
        **os.environ,
        "NATS_URL": url_for("call-router", nats),
        "MONGO_URL": f"mongodb://127.0.0.1:{mongo.port}",
        **RING_VARIABLES,
        "CALLBOT_HEALTH_PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "callbot.call_router"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield Platform(nats, mongo, port, process)
    finally:
        process.kill()
        process.communicate()
        nats.kill()
        if mongo.is_running:
            mongo.kill()


async def listed(gateway: Bus) -> BotPage:
    return await gateway.ask(BOT_LIST, ListBots(credential=as_user("alice")), timeout_s=GATEWAY_WAITS_S)


async def assert_unavailable(gateway: Bus) -> None:
    with pytest.raises(Refused) as refused:
        await listed(gateway)
    assert refused.value.code == "unavailable"


async def test_it_outlives_its_servers(platform: Platform) -> None:
    mongo, nats = platform.mongo, platform.nats
    await eventually(lambda: platform.ready().get("streams"))
    async with connect(url_for("gateway", nats), speaks_as="gateway") as gateway:
        with pytest.raises(NoResponders):
            await listed(gateway)
        mongo.start()
        await eventually(platform.is_ready)
        bot = await new_bot(gateway, "alice")

        mongo.send(signal.SIGSTOP)
        await assert_unavailable(gateway)
        await eventually(lambda: not platform.is_ready())
        mongo.send(signal.SIGCONT)
        await eventually(platform.is_ready)

        mongo.kill()
        await assert_unavailable(gateway)
        call_id = new_call_id()
        for event in story(call_id):
            await tell(gateway, event)
        mongo.start()
        assert_whole(await eventually(lambda: record_of(call_id, mongo), within_s=20))
        await eventually(platform.is_ready)
        assert [known.id for known in (await listed(gateway)).bots] == [bot.id]

        nats.kill()
        await eventually(lambda: not platform.ready()["nats"])
        nats.start()
        await eventually(lambda: gateway.is_connected and platform.is_ready())
        await until_answered(gateway)
        call_id = new_call_id()
        for event in story(call_id):
            await tell(gateway, event)
        assert_whole(await eventually(lambda: record_of(call_id, mongo), within_s=20))

    platform.process.send_signal(signal.SIGTERM)
    _, said = platform.process.communicate(timeout=5)
    assert platform.process.returncode == 0
    assert "Traceback" not in said


async def until_answered(gateway: Bus, tries: int = 20) -> None:
    """The subscriptions come back with the connection, a moment later than it does."""
    for left in reversed(range(tries)):
        try:
            await listed(gateway)
            return
        except BusError:
            if not left:
                raise


def record_of(call_id: str, mongo: Server) -> dict[str, Any] | None:
    """Once it has all four events; the last of them is written in two steps."""
    with pymongo.MongoClient[Any](f"mongodb://127.0.0.1:{mongo.port}", tz_aware=True) as client:
        return client["callbot"]["calls"].find_one(
            {"call_id": call_id, "event_ids": {"$size": 4}, "ended_at": {"$ne": None}}
        )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"CALLBOT_TOKEN_KEYS": ""}, "base64"),
        ({"CALLBOT_JWT_KEYS": "k1:secret"}, "base64"),
        ({"MONGO_URL": "localhost"}, "mongodb://"),
        ({"MONGO_URL": "mongodb://user:secret@host:x"}, "MONGO_URL cannot be read"),
    ],
)
def test_a_wrong_setting_is_one_sentence(nats: Server, changed: dict[str, str], said: str) -> None:
    good = {"NATS_URL": url_for("call-router", nats), **RING_VARIABLES}
    environment = {**os.environ, **good, **changed}
    command = [sys.executable, "-m", "callbot.call_router"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and "secret" not in done.stderr
