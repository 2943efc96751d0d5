"""gateway: REST, TwiML and media streams; sequences every call whose socket it holds."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from callbot.gateway.app import make_app
from callbot.gateway.calls import Calls
from callbot.gateway.live_call import Platform
from callbot.gateway.memory import EventLog, Journals
from callbot.gateway.phrases import PhraseLibrary
from callbot.gateway.protocol_errors import Runner
from callbot.gateway.recording import PieceSender
from callbot.gateway.seating import Beats
from callbot.gateway.settings import Settings
from callbot.gateway.usage_reports import taking_usage
from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import SettingsError
from callbot.runtime.health import health
from callbot.runtime.service import run, stop_requested
from callbot.schemas.subjects import WORKER_BEAT

SETTLE_EVENTS_S = 1.0


async def serve(settings: Settings) -> None:
    async with (
        connect(settings.nats_url, speaks_as="gateway") as bus,
        taking_usage(bus),
        live_calls(settings, bus) as calls,
        public_site(settings, make_app(settings, bus, calls)) as site,
        # The last one: who is told to be ready has its port open.
        health(
            settings,
            service="gateway",
            ready=lambda: {"nats": bus.is_connected, "taking": not calls.draining},
            live_calls=lambda: len(calls),
        ),
    ):
        await stop_requested()
        await site.stop()
        await calls.drain(settings.drain_s)


@asynccontextmanager
async def live_calls(settings: Settings, bus: Bus) -> AsyncIterator[Calls]:
    beats = Beats(lambda: time.monotonic() * 1000)
    events = EventLog(bus)
    platform = Platform(bus, beats, Journals(bus), events, PhraseLibrary(bus), PieceSender(bus))
    calls = Calls(platform, settings.max_calls)
    listening = await bus.hear(WORKER_BEAT, beats.take)
    tasks = [asyncio.create_task(calls.tick_for_ever()), asyncio.create_task(events.run())]
    try:
        yield calls
    finally:
        await events.settled(SETTLE_EVENTS_S)
        await listening.stop()
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def public_site(settings: Settings, app: web.Application) -> AsyncIterator[web.TCPSite]:
    """Replicas on one machine share the port (SO_REUSEPORT)."""
    runner = Runner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, settings.host, settings.port, reuse_port=True)
    try:
        try:
            await site.start()
        except OSError as e:
            raise SettingsError(f"port {settings.port} cannot be used: {e.strerror}") from e
        yield site
    finally:
        await runner.cleanup()


def main() -> None:
    run(serve, Settings, "gateway")
