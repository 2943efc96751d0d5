"""`make test-containers`: a plugin of pytest that puts the tests' NATS and MongoDB into containers.

The same tests and the same `tests.servers`, whose servers are then those of production: the images `nats` and
`mongo` where they are here or can be pulled, else `callbot-servers` (`make test-images` builds it). Without a
Docker API nothing is run, and the reason is printed.
"""

import os
import signal
import socket
import time
from functools import cache
from pathlib import Path

import docker
import pymongo
import pytest
from docker.errors import APIError, DockerException, ImageNotFound
from testcontainers.core.container import DockerContainer

from callbot.schemas.permissions import nats_config
from callbot.schemas.subjects import SERVICES
from tests import servers

IMAGES = {"nats": "nats:2.15.1-alpine", "mongo": "mongo:8.0"}
"""As in k8s/components."""
STAND_IN = "callbot-servers"
_started: list[DockerContainer] = []


class ContainerServer(servers.Server):
    """Has the port inside that it has outside, and its data in a directory of the test."""

    def __init__(self, kind: str, home: Path, port: int, *command: str | Path) -> None:
        super().__init__(port, *command)
        self._kind = kind
        self._home = home
        self._container: DockerContainer | None = None

    def start(self, within_s: float = 60) -> None:
        # Also again: a test may have thrown the data away.
        self._home.mkdir(parents=True, exist_ok=True)
        if self._container is None:
            program, *arguments = (str(part) for part in self._command)
            self._container = (
                DockerContainer(image(self._kind), entrypoint=[program], user=f"{os.getuid()}:{os.getgid()}")
                .with_command(arguments)
                .with_bind_ports(self.port, self.port)
                .with_volume_mapping(str(self._home), str(self._home), "rw")
                .with_env("HOME", str(self._home))
            )
            _started.append(self._container)
            self._container.start()
        else:
            self._container.get_wrapped_container().start()
        deadline_s = time.monotonic() + within_s
        while not answers(self._kind, self.port):
            assert time.monotonic() < deadline_s and self.is_running, self._container.get_logs()
            time.sleep(0.05)

    def kill(self) -> None:
        """As of a process, also twice."""
        assert self._container
        container = self._container.get_wrapped_container()
        container.reload()
        if container.status != "exited":
            self.send(signal.SIGKILL)
            container.wait(timeout=10)

    @property
    def is_running(self) -> bool:
        if self._container is None:
            return False
        container = self._container.get_wrapped_container()
        container.reload()
        return bool(container.status == "running")

    def send(self, number: signal.Signals) -> None:
        """Stopped and going on are the runtime's pause: process 1 ignores signals of its own namespace."""
        assert self._container
        container = self._container.get_wrapped_container()
        if number == signal.SIGSTOP:
            container.pause()
        elif number == signal.SIGCONT:
            container.reload()
            if container.status == "paused":
                container.unpause()
        else:
            container.kill(number.name)


def answers(kind: str, port: int) -> bool:
    """The server itself: whoever forwards the port may take a connection before it does."""
    try:
        if kind == "nats":
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                return probe.recv(4) == b"INFO"
        url = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        with pymongo.MongoClient[dict[str, int]](url, serverSelectionTimeoutMS=500) as client:
            return bool(client.admin.command("ping")["ok"] == 1)
    except (OSError, pymongo.errors.PyMongoError):
        return False


@cache
def image(kind: str) -> str:
    """Raises LookupError: neither the official image nor the stand-in can be had."""
    images = docker.from_env().images
    for name, may_be_pulled in ((IMAGES[kind], True), (STAND_IN, False)):
        try:
            images.get(name)
            return name
        except ImageNotFound:
            if not may_be_pulled:
                continue
        try:
            images.pull(name)
            return name
        except APIError:
            continue
    raise LookupError(
        f"{IMAGES[kind]} cannot be pulled, and {STAND_IN} is not there (make test-images builds it)"
    )


def nats_server(home: Path) -> servers.Server:
    port = servers.free_port()
    passwords = dict.fromkeys(SERVICES, servers.PASSWORD)
    config = nats_config(passwords, store_dir=home / "store", port=port, host="0.0.0.0")
    (home / "nats.conf").write_text(config)
    return ContainerServer("nats", home, port, "nats-server", "-c", home / "nats.conf")


def mongo_server(home: Path) -> servers.Server:
    port = servers.free_port()
    at = ("--port", str(port))
    if image("mongo") == STAND_IN:
        # It sends clients on to the address that it listens on: 0.0.0.0 is this machine, in Linux.
        flags = ("--host", "0.0.0.0", "--storage-path", str(home), "--log-level", "ERROR")
        return ContainerServer("mongo", home, port, "secantusd-py", *at, *flags)
    return ContainerServer("mongo", home, port, "mongod", *at, "--bind_ip_all", "--dbpath", str(home))


def pytest_configure(config: pytest.Config) -> None:
    try:
        docker.from_env().ping()
        told = ", ".join(image(kind) for kind in IMAGES)
    except (DockerException, LookupError) as e:
        pytest.exit(
            f"skipped: no containers here (DOCKER_HOST, or `podman system service`): {e}", returncode=0
        )
    print(f"NATS and MongoDB in containers of {told}")
    # Before any test module takes them by name.
    servers.nats_server, servers.mongo_server = nats_server, mongo_server


def pytest_unconfigure(config: pytest.Config) -> None:
    for container in _started:
        container.stop()
