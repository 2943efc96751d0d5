"""One part of the platform: a process, how it is started, and when it counts as ready."""

import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from callbot.studio.up.http_get import accepts, get

_LOOK_S = 1.0


@dataclass(frozen=True)
class Part:
    service: str
    replica: int
    """Counted from 1."""
    argv: tuple[str, ...]
    port: int
    """Where others find it: a service's health port, a server's own port."""
    env: Mapping[str, str] = field(default_factory=dict)
    ready_path: str | None = "/ready"
    """None: it is ready when it accepts connections."""
    needs: frozenset[str] = frozenset()
    """Services that must be ready before it is started."""
    is_service: bool = False
    """One of ours: has `/status`, and is stopped before the servers that it uses."""

    wake_at_end: bool = False
    """After SIGTERM it waits for one more connection, or 2 s."""

    @property
    def name(self) -> str:
        return f"{self.service}-{self.replica}" if self.is_service else self.service

    def environment(self) -> dict[str, str]:
        """For one start: a restarted worker is a new worker."""
        worker_id = f"{self.service}-{self.replica}-{secrets.token_hex(4)}"
        return {**self.env, "CALLBOT_WORKER_ID": worker_id}

    async def is_ready(self) -> bool:
        try:
            if self.ready_path is None:
                await accepts(self.port, timeout_s=_LOOK_S)
                return True
            status, _ = await get(self.port, self.ready_path, timeout_s=_LOOK_S)
        except (OSError, TimeoutError):
            return False
        return status == 200


def python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
