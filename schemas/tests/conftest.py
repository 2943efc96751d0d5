"""A real NATS server, configured as the subject table says, and one connection for each service."""

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from callbot.schemas.permissions import nats_config
from callbot.schemas.subjects import SERVICES

PASSWORDS = {service: f'a "quoted" $back\\slash of {service}' for service in SERVICES}


@dataclass
class User:
    """One service's connection, and what the server has complained about it."""

    client: Client
    complaints: list[str] = field(default_factory=list)

    async def flush(self) -> None:
        """nats-py writes a PING ahead of what is still pending, so only the second one comes after it."""
        await self.client.flush(timeout=5)
        await self.client.flush(timeout=5)

    async def complained(self) -> list[str]:
        """All complaints about what was sent so far: errors come before the server's PONG."""
        await self.flush()
        said, self.complaints[:] = list(self.complaints), []
        return said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_open(port: int, within_s: float = 10) -> None:
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)


@pytest.fixture(scope="session")
def nats_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    home: Path = tmp_path_factory.mktemp("nats server")
    port = free_port()
    config = nats_config(PASSWORDS, store_dir=home / "store", port=port)
    (home / "nats.conf").write_text(config)
    beside_python = Path(sys.executable).with_name("nats-server")
    program = beside_python if beside_python.exists() else "nats-server"
    server = subprocess.Popen([program, "-c", home / "nats.conf", "-l", home / "nats.log"])
    try:
        wait_until_open(port)
        yield port
    finally:
        server.terminate()
        server.wait(10)


async def connect_as(service: str, port: int) -> User:
    complaints: list[str] = []

    async def complain(e: Exception) -> None:
        complaints.append(str(e))

    client = await nats.connect(
        f"nats://127.0.0.1:{port}",
        user=service,
        password=PASSWORDS[service],
        inbox_prefix=f"_INBOX.{service}",
        allow_reconnect=False,
        error_cb=complain,
    )
    return User(client, complaints)


@pytest.fixture(scope="session")
async def users(nats_port: int) -> AsyncIterator[dict[str, User]]:
    connected = {service: await connect_as(service, nats_port) for service in SERVICES}
    yield connected
    for user in connected.values():
        await user.client.close()
