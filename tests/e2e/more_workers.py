"""Workers beside those of a platform, with settings of their own."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from callbot.studio.up.parts import python
from callbot.studio.up.running import Platform
from tests.servers import free_port

READY_WITHIN_S = 60.0
ENDS_WITHIN_S = 5.0
TAKEN_WITHIN_S = 10.0


@dataclass(frozen=True)
class Worker:
    platform: Platform
    pid: int
    id: str
    log: Path | None = None

    def said(self) -> str:
        """Its log, where that is not the platform's."""
        return self.log.read_text() if self.log is not None else ""


@asynccontextmanager
async def another(platform: Platform, service: str, told: Mapping[str, str]) -> AsyncIterator[Worker]:
    """As the platform starts its own, but for what it is `told`; ready."""
    own = next(row for row in await platform.ps() if row["service"] == service)
    port = free_port()
    env = {
        **environment_of(own["pid"]),
        "CALLBOT_WORKER_ID": (worker_id := f"{service}-{port}"),
        "CALLBOT_HEALTH_PORT": str(port),
        **told,
    }
    with tempfile.NamedTemporaryFile() as log:
        argv = python(f"callbot.{service.replace('-', '_')}")
        process = await asyncio.create_subprocess_exec(*argv, env=env, stdout=log, stderr=log)
        try:
            await _ready(process, port)
            yield Worker(platform, process.pid, worker_id, Path(log.name))
        finally:
            if process.returncode is None:
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), ENDS_WITHIN_S)
            except TimeoutError:
                process.kill()
                await process.wait()


def environment_of(pid: int) -> dict[str, str]:
    """What a process was started with, as in proc(5)."""
    whole = Path(f"/proc/{pid}/environ").read_bytes()
    return dict(one.partition("=")[::2] for one in os.fsdecode(whole).split("\0") if one)


def worker_id_of(pid: int) -> str:
    return environment_of(pid)["CALLBOT_WORKER_ID"]


async def ears_of(platform: Platform, call_id: str) -> str:
    """Which worker hears this call, as the gateway's log tells it."""
    async with asyncio.timeout(TAKEN_WITHIN_S):
        while True:
            for line in platform.log.read_text().splitlines():
                if "seat taken" in line and call_id in line and "role=ears" in line:
                    return line.partition("worker_id=")[2].split()[0]
            await asyncio.sleep(0.05)


async def _ready(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(READY_WITHIN_S), aiohttp.ClientSession() as http:
        while process.returncode is None:
            try:
                async with http.get(f"http://127.0.0.1:{port}/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)
    raise AssertionError(f"the worker has ended with {process.returncode}")
