"""Real servers for tests: NATS with the generated permissions, and one that speaks MongoDB's protocol."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from callbot.schemas.permissions import nats_config
from callbot.schemas.subjects import SERVICES

PASSWORD = "of-the-tests"


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
        program = Path(sys.executable).with_name(str(self._command[0]))
        self._process = subprocess.Popen(
            [program, *self._command[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
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
        while number == signal.SIGSTOP and self._state() != "T":
            # A signal arrives a moment later, and one more request may be answered until then.
            time.sleep(0.001)

    def _state(self) -> str:
        """As in proc(5): `T` is stopped."""
        assert self._process
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2][0]


def mongo_server(home: Path) -> Server:
    port = free_port()
    where = ("--port", str(port), "--storage-path", str(home))
    return Server(port, "secantusd-py", *where, "--log-level", "ERROR", "--cache-size", "64M")


def nats_server(home: Path) -> Server:
    port = free_port()
    passwords = dict.fromkeys(SERVICES, PASSWORD)
    config = nats_config(passwords, store_dir=home / "store", port=port)
    (home / "nats.conf").write_text(config)
    return Server(port, "nats-server", "-c", home / "nats.conf")


def url_for(service: str, nats: Server) -> str:
    return f"nats://{service}:{PASSWORD}@127.0.0.1:{nats.port}"
