"""The generated configuration of a cluster, as three real servers run it: who may join, who may speak."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig

from callbot.schemas import permissions
from callbot.schemas.memory import BUCKETS, CALL_EVENTS, STREAMS
from callbot.schemas.permissions import cluster_config, password_variable
from callbot.schemas.subjects import CALL_EVENT, CALLER_AUDIO, SERVICES

from .conftest import free_port

SERVERS = 3
PASSWORDS = {name: f"1e3-{name}_of-the-cluster" for name in (*SERVICES, "routes")}
"""Begins as a number does: without its quotation marks the server would read one."""
WITHIN_S = 30


@dataclass
class Member:
    client_port: int
    http_port: int
    route_port: int
    process: subprocess.Popen[bytes]


def environment(member: int, routes: list[int], passwords: dict[str, str]) -> dict[str, str]:
    """As k8s/components/nats/nats.yaml gives it."""
    quoted = {password_variable(name): f'"{password}"' for name, password in passwords.items()}
    told = {
        f"NATS_ROUTE_{number}": f'"nats://routes:{passwords["routes"]}@127.0.0.1:{port}"'
        for number, port in enumerate(routes)
    }
    return {**os.environ, "POD_NAME": f"nats-{member}", **quoted, **told}


def started(home: Path, number: int, routes: list[int], passwords: dict[str, str], servers: int) -> Member:
    """The generated text, with this machine's ports and paths in the place of a pod's."""
    client_port, http_port = free_port(), free_port()
    route_port = routes[number] if number < len(routes) else free_port()
    text = cluster_config(servers)
    for wanted, here in (
        ('host: "0.0.0.0"', 'host: "127.0.0.1"'),
        ("port: 4222", f"port: {client_port}"),
        ("port: 6222", f"port: {route_port}"),
        ("127.0.0.1:8222", f"127.0.0.1:{http_port}"),
        ("/tmp/nats.pid", str(home / f"{number}.pid")),
        ('"/data"', f'"{home / str(number)}"'),
    ):
        assert wanted in text or servers == 1
        text = text.replace(wanted, here)
    config = home / f"{number}.conf"
    config.write_text(text)
    beside_python = Path(sys.executable).with_name("nats-server")
    program = beside_python if beside_python.exists() else "nats-server"
    process = subprocess.Popen(
        [program, "-c", config, "-l", home / f"{number}.log"],
        env=environment(number, routes, passwords),
    )
    return Member(client_port, http_port, route_port, process)


async def healthy(port: int) -> bool:
    """What the readiness probe asks."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(b"GET /healthz?js-server-only=true HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return b" 200 " in answer.split(b"\r\n")[0]


async def eventually(check, within_s: float = WITHIN_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not await check():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
async def cluster(home: Path) -> AsyncIterator[list[Member]]:
    routes = [free_port() for _ in range(SERVERS)]
    members = [started(home, number, routes, PASSWORDS, SERVERS) for number in range(SERVERS)]
    try:
        for member in members:
            await eventually(lambda member=member: healthy(member.http_port))
        yield members
    finally:
        for member in members:
            member.process.kill()
            member.process.wait(10)


@asynccontextmanager
async def as_service(service: str, members: list[Member]) -> AsyncIterator[tuple[Client, list[str]]]:
    """Through one address behind which are all servers that live, as a Service of Kubernetes is."""
    complaints: list[str] = []

    async def complain(e: Exception) -> None:
        complaints.append(str(e))

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for member in members:
            if member.process.poll() is None:
                there = await asyncio.open_connection("127.0.0.1", member.client_port)
                await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer))
                return
        writer.close()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as address:
        client = await nats.connect(
            f"nats://{service}:{PASSWORDS[service]}@127.0.0.1:{address.sockets[0].getsockname()[1]}",
            inbox_prefix=f"_INBOX.{service}".encode(),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,
            error_cb=complain,
        )
        try:
            yield client, complaints
        finally:
            await client.close()


async def test_what_is_stored_survives_a_server_and_everybody_finds_another(cluster: list[Member]) -> None:
    async with (
        as_service("call-router", cluster) as (router, _),
        as_service("gateway", cluster) as (gateway, said),
    ):
        wanted = StreamConfig(
            name=CALL_EVENTS.name,
            subjects=[CALL_EVENT.wildcard],
            max_bytes=CALL_EVENTS.max_bytes,
            num_replicas=SERVERS,
        )

        async def created() -> bool:
            # As call-router does: whoever asks before there is a leader gets no answer.
            try:
                await router.jetstream(timeout=1).add_stream(wanted)
                await gateway.jetstream(timeout=1).publish(CALL_EVENT.of(call_id="x1"), b"before")
            except NatsError:
                return False
            return True

        await eventually(created)
        # Nobody is told of an address: nats-py would go there without its password.
        assert gateway.discovered_servers == []
        cluster[0].process.kill()
        cluster[0].process.wait(10)

        async def both_there() -> bool:
            try:
                await gateway.jetstream(timeout=1).publish(CALL_EVENT.of(call_id="x1"), b"after")
                return (await router.jetstream(timeout=1).stream_info(CALL_EVENTS.name)).state.messages >= 2
            except NatsError:
                return False

        await eventually(both_there)
        said.clear()
        await gateway.publish(CALLER_AUDIO.of(call_id="x1"), b"")
        await gateway.publish("call.x1.audio.out", b"")
        await gateway.flush()
        assert ["permissions violation" in complaint for complaint in said] == [True]


async def test_who_does_not_know_the_password_of_the_routes_is_no_member(home: Path) -> None:
    routes = [free_port(), free_port()]
    members = [
        started(home, 0, routes, PASSWORDS, SERVERS - 1),
        started(home, 1, routes, {**PASSWORDS, "routes": "guessed"}, SERVERS - 1),
    ]
    try:
        log = home / "0.log"

        async def refused() -> bool:
            return log.exists() and "authentication error" in log.read_text()

        await eventually(refused)
        assert "JetStream cluster new metadata leader" not in log.read_text()
    finally:
        for member in members:
            member.process.kill()
            member.process.wait(10)


def test_a_server_has_room_for_the_limits_of_all_streams() -> None:
    room_mib = int(re.search(r"max_file_store: (\d+)MiB", cluster_config(1))[1])
    assert room_mib * 2**20 > sum(one.max_bytes for one in (*STREAMS, *BUCKETS))


def test_there_is_no_secret_in_it() -> None:
    for line in cluster_config(SERVERS).splitlines():
        assert "password:" not in line or re.search(r"password: \$NATS_PASSWORD_[A-Z_]+", line)


def test_a_stale_file_is_named(tmp_path: Path) -> None:
    permissions.write(tmp_path)
    assert permissions.stale(tmp_path) == []
    changed = tmp_path / "k8s/components/nats/nats.conf"
    changed.write_text(changed.read_text().replace("6222", "6223"))
    assert permissions.stale(tmp_path) == [changed]
