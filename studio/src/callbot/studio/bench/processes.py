"""The processes of a platform while calls are made: memory, tasks, how late their event loops are."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from callbot.studio.up import Platform

LOOK_EVERY_S = 15.0
LAG_MS = 10.0
"""p99 of the gateway's event loop; a frame is 20 ms."""
SLOPE_WORTH_TELLING_S = 120.0
_SERVERS = ("nats", "mongo", "llm", "twilio")


@dataclass(frozen=True)
class Process:
    name: str
    memory_kib: int
    tasks: int | None = None
    """None for the servers that are not ours."""
    lag_p99_ms: float | None = None
    """Of its event loop, in the last minute."""


@dataclass(frozen=True)
class Moment:
    at_s: float
    processes: dict[str, Process]


async def processes(platform: Platform, http: aiohttp.ClientSession) -> list[Process]:
    """Those that answer. Raises aiohttp.ClientError, TimeoutError."""
    found = []
    for part in await platform.ps():
        name, memory_kib = f"{part['service']}-{part['replica']}", _memory_kib(part["pid"])
        if part["service"] in _SERVERS:
            found.append(Process(name, memory_kib))
        else:
            status = await get_json(http, f"http://127.0.0.1:{part['port']}/status")
            found.append(Process(name, memory_kib, int(status["tasks"]), status["loop_lag_ms"]["p99"]))
    return found


@asynccontextmanager
async def watched(platform: Platform, http: aiohttp.ClientSession) -> AsyncIterator[list[Moment]]:
    """A moment every 15 s while the block runs, and one at its end."""
    course: list[Moment] = []

    async def look() -> None:
        seen = {process.name: process for process in await processes(platform, http)}
        course.append(Moment(time.monotonic(), seen))

    async def look_for_ever() -> None:
        while True:
            await look()
            await asyncio.sleep(LOOK_EVERY_S)

    looking = asyncio.create_task(look_for_ever())
    try:
        yield course
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
    await look()


def print_course(course: Sequence[Moment]) -> list[str]:
    """Prints slope and lag of each process; what is wrong with them, in sentences."""
    wrong = []
    took_s = course[-1].at_s - course[0].at_s
    print(f"{'process':20} {'KiB a minute':>13} {'worst p99 of the loop, ms':>26}")
    for name in course[-1].processes:
        moments = [moment for moment in course if name in moment.processes]
        told = (moment.processes[name].lag_p99_ms for moment in moments)
        lags = [lag_ms for lag_ms in told if lag_ms is not None]
        slope = slope_kib_per_minute(moments, name) if took_s >= SLOPE_WORTH_TELLING_S else None
        print(
            f"{name:20} {'' if slope is None else f'{slope:+.0f}':>13}"
            f" {f'{max(lags):.1f}' if lags else '':>26}"
        )
        if name.startswith("gateway") and lags and max(lags) >= LAG_MS:
            wrong.append(f"{name} was {max(lags):.1f} ms late (p99 of a minute)")
    return wrong


def slope_kib_per_minute(moments: Sequence[Moment], name: str) -> float:
    """By least squares over the second half: caches have filled by then."""
    later = moments[len(moments) // 2 :]
    minutes = [moment.at_s / 60 for moment in later]
    memory = [moment.processes[name].memory_kib for moment in later]
    middle, level = sum(minutes) / len(later), sum(memory) / len(later)
    spread = sum((minute - middle) ** 2 for minute in minutes)
    both = sum((minute - middle) * (kib - level) for minute, kib in zip(minutes, memory, strict=True))
    return both / spread if spread else 0.0


def _memory_kib(pid: int) -> int:
    """Proportional set size: shared pages are shared out (proc(5), smaps_rollup)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss: +(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]


async def get_json(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with http.get(url) as answer:
        return dict(await answer.json())
