"""Real servers: NATS with the generated permissions, and one that speaks MongoDB's protocol."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from callbot.call_router.app import Readiness, answering
from callbot.call_router.mongo import open_store
from callbot.call_router.settings import Settings
from callbot.call_router.store import Store
from callbot.runtime.bus import Bus, connect
from callbot.schemas.bots import Bot, BotDefinition, CreateBot
from callbot.schemas.permissions import nats_config
from callbot.schemas.subjects import BOT_CREATE

PASSWORD = "of-the-tests"
ASK_S = 5.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process on a port of its own; it can be killed and started again."""

    def __init__(self, port: int, *command: str | Path) -> None:
        self.port = port
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, within_s: float = 20) -> None:
        beside_python = Path(sys.executable).with_name(str(self._command[0]))
        program = beside_python if beside_python.exists() else self._command[0]
        self._process = subprocess.Popen([program, *self._command[1:]], stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + within_s
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline_s or self._process.poll() is not None:
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait(10)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)


def mongo_server(home: Path) -> Server:
    port = free_port()
    options = ["--port", str(port), "--storage-path", home, "--log-level", "ERROR", "--cache-size", "64M"]
    return Server(port, "secantusd-py", *options)


def nats_server(home: Path) -> Server:
    port = free_port()
    users = {"gateway": PASSWORD, "call-router": PASSWORD}
    config = nats_config(users, store_dir=home / "store", port=port, http_port=free_port())
    (home / "nats.conf").write_text(config)
    return Server(port, "nats-server", "-c", home / "nats.conf")


def url_for(service: str, nats: Server) -> str:
    return f"nats://{service}:{PASSWORD}@127.0.0.1:{nats.port}"


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = nats_server(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


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
        while not (found := holds()):  # noqa: ASYNC110 - a database tells nobody that it has changed
            await asyncio.sleep(0.02)
        return found


async def new_bot(gateway: Bus, user_id: str = "public", **fields: Any) -> Bot:
    definition = BotDefinition(**{"goal": "Take bookings", "webhook": "https://example.com/hook"} | fields)
    return await gateway.ask(BOT_CREATE, CreateBot(user_id=user_id, definition=definition), timeout_s=ASK_S)
