"""What runs where: written by `callbot up` into its data directory, read by `callbot ps`."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from callbot.studio.up.data_dir import is_locked, write_private
from callbot.studio.up.http_get import get
from callbot.studio.up.keeper import Keeper

STATE_FILE = "running.json"
_STATUS_WITHIN_S = 1.0


class PartRow(TypedDict):
    """One running process."""

    service: str
    replica: int
    pid: int
    port: int
    live_calls: int | None
    """None: it did not answer."""


class NothingRuns(Exception):
    """No platform runs on this data directory."""


def write_state(data: Path, keepers: Iterable[Keeper]) -> None:
    """Parts that are being restarted are left out."""
    rows = [
        {
            "service": k.part.service,
            "replica": k.part.replica,
            "pid": k.pid,
            "port": k.part.port,
            "has_status": k.part.is_service,
        }
        for k in keepers
        if k.pid is not None
    ]
    write_private(data / STATE_FILE, json.dumps(rows))


async def running_parts(data: Path) -> list[PartRow]:
    """Raises NothingRuns."""
    path = data / STATE_FILE
    if not is_locked(data) or not path.exists():
        raise NothingRuns(f"no callbot up runs with the data directory {data}")
    return list(await asyncio.gather(*(_row(told) for told in json.loads(path.read_text()))))


async def _row(told: dict[str, int | str | bool]) -> PartRow:
    port = int(told["port"])
    return PartRow(
        service=str(told["service"]),
        replica=int(told["replica"]),
        pid=int(told["pid"]),
        port=port,
        live_calls=await _live_calls(port) if told["has_status"] else 0,
    )


async def _live_calls(port: int) -> int | None:
    try:
        _, body = await get(port, "/status", timeout_s=_STATUS_WITHIN_S)
        return int(json.loads(body)["live_calls"])
    except (OSError, TimeoutError, ValueError, KeyError):
        return None
