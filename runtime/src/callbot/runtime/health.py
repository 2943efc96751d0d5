"""`/live`: the event loop turns. `/ready`: every named check holds. `/status`: what runs here, how late."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from callbot.runtime.errors import SettingsError
from callbot.runtime.loop_lag import LoopLag
from callbot.runtime.settings import ServiceSettings
from callbot.schemas.usage import Used

log = logging.getLogger(__name__)
Checks = Callable[[], Mapping[str, bool]]


@asynccontextmanager
async def health(
    settings: ServiceSettings,
    *,
    service: str,
    ready: Checks,
    live_calls: Callable[[], int],
    used: Callable[[], Sequence[Used]] = tuple,
) -> AsyncIterator[int]:
    """Serves the three while the block runs; yields the port. Raises SettingsError for a port in use.

    `used`: of providers, since the start of this process.
    """

    lag = LoopLag()

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def is_ready(_: web.Request) -> web.Response:
        checks = dict(ready())
        good = all(checks.values())
        return web.json_response({"ready": good, "checks": checks}, status=200 if good else 503)

    async def status(_: web.Request) -> web.Response:
        return web.json_response(
            {
                "service": service,
                "worker_id": settings.worker_id,
                "pid": os.getpid(),
                "live_calls": live_calls(),
                "tasks": len(asyncio.all_tasks()),
                "loop_lag_ms": lag.told(),
                "checks": dict(ready()),
                "used": [one.model_dump(exclude_none=True) for one in used()],
            }
        )

    app = web.Application()
    app.add_routes([web.get("/live", live), web.get("/ready", is_ready), web.get("/status", status)])
    async with _served(app, settings) as port, lag.measured():
        yield port


@asynccontextmanager
async def _served(app: web.Application, settings: ServiceSettings) -> AsyncIterator[int]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.health_host, settings.health_port)
        try:
            await site.start()
        except OSError as e:
            raise SettingsError(f"health port {settings.health_port} cannot be used: {e.strerror}") from e
        port = int(runner.addresses[0][1])
        log.info("health is served", extra={"port": port})
        yield port
    finally:
        await runner.cleanup()
