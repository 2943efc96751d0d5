"""`/live`: the event loop turns. `/ready`: every named check holds. `/status`: what runs here, how late.

`/metrics`: what it counts, for Prometheus; in OpenMetrics, with exemplars, for who asks for that.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from callbot.runtime.errors import SettingsError
from callbot.runtime.loop_lag import LoopLag
from callbot.runtime.metrics import METRICS, OPEN_METRICS, TEXT, wants_open_metrics
from callbot.runtime.settings import ServiceSettings
from callbot.schemas.usage import Used

log = logging.getLogger(__name__)
LIVE_CALLS: Final = METRICS.gauge(
    "callbot_live_calls", "Calls that this process has a part in: a gateway's streams, a worker's seats."
).of()
READY: Final = METRICS.gauge("callbot_ready", "1 while a check of readiness holds.", "check")
USED: Final = {
    "seconds": METRICS.counter(
        "callbot_used_audio_seconds_total", "Audio that a provider was given to recognise.", "provider"
    ),
    "characters": METRICS.counter(
        "callbot_used_characters_total", "Characters that a provider was given to speak.", "provider"
    ),
    "tokens_in": METRICS.counter(
        "callbot_used_tokens_in_total", "Tokens of prompts, by provider.", "provider"
    ),
    "tokens_out": METRICS.counter(
        "callbot_used_tokens_out_total", "Tokens of replies, by provider.", "provider"
    ),
}
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
    """Serves the four while the block runs; yields the port. Raises SettingsError for a port in use.

    `used`: of providers, since the start of this process.
    """

    lag = LoopLag()
    LIVE_CALLS.set_function(live_calls)

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
    served = {"/live": live, "/ready": is_ready, "/status": status, "/metrics": _metrics(ready, used)}
    app.add_routes([web.get(path, handler) for path, handler in served.items()])
    async with _served(app, settings) as port, lag.measured():
        yield port


def _metrics(ready: Checks, used: Callable[[], Sequence[Used]]) -> Handler:
    counted: dict[tuple[str, str], float] = {}

    async def metrics(request: web.Request) -> web.Response:
        for name, holds in ready().items():
            READY.of(name).set(int(holds))
        counted.update(_count(used(), counted))
        exemplars = wants_open_metrics(request.headers.get("Accept", ""))
        kind = OPEN_METRICS if exemplars else TEXT
        return web.Response(body=METRICS.text(exemplars=exemplars), headers={"Content-Type": kind})

    return metrics


def _count(used: Sequence[Used], before: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """The sums by amount and provider; what they have risen by since `before` is counted."""
    sums: dict[tuple[str, str], float] = {}
    for one in used:
        for amount in USED:
            if (value := getattr(one, amount)) is not None:
                key = amount, one.provider
                sums[key] = sums.get(key, 0) + value
    for (amount, provider), total in sums.items():
        USED[amount].of(provider).inc(max(0.0, total - before.get((amount, provider), 0)))
    return sums


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
