"""call-router: which bot takes a call; bots and call records, in MongoDB."""

from callbot.call_router.app import answering
from callbot.call_router.mongo import open_database
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.runtime.bus import connect
from callbot.runtime.health import health
from callbot.runtime.service import run, stop_requested


async def serve(settings: Settings) -> None:
    async with (
        connect(settings.nats_url, speaks_as="call-router") as bus,
        open_database(settings.mongo_url, settings.mongo_database) as database,
        answering(bus, Stores(database), settings) as readiness,
        health(settings, service="call-router", ready=readiness, live_calls=lambda: 0),
    ):
        await stop_requested()


def main() -> None:
    run(serve, Settings, "call-router")
