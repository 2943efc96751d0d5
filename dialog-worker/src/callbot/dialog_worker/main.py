"""dialog-worker: what the caller said in, what the bot says and does out."""

from callbot.dialog_worker.answering import Answering
from callbot.dialog_worker.app import Mind
from callbot.dialog_worker.model_chain import open_language_model
from callbot.dialog_worker.permits import Permits
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook import open_webhooks
from callbot.dialog_worker.webhook_door import WebhookDoor
from callbot.dialog_worker.webhook_test import answering_tests
from callbot.runtime.bus import connect
from callbot.runtime.health import health
from callbot.runtime.keyring import KeyRing
from callbot.runtime.sealing import Sealing
from callbot.runtime.seat import SeatHolder
from callbot.runtime.service import run, stop_requested
from callbot.runtime.shared_breakers import SharedBreakers
from callbot.schemas.seats import Role
from callbot.schemas.subjects import MIND_OFFER

SERVICE = "dialog-worker"


async def serve(settings: Settings) -> None:
    async with (
        connect(settings.nats_url, speaks_as=SERVICE) as bus,
        SharedBreakers(bus, "llm", settings.worker_id, longest_open_s=settings.left_alone_s) as breakers,
        open_language_model(settings, breakers.guard) as model,
        open_webhooks(settings, Permits(bus, settings.webhook_calls_per_s)) as webhooks,
    ):
        door = WebhookDoor(webhooks, Sealing(KeyRing.parse(settings.webhook_keys.get_secret_value())))
        answering = Answering(model, door, settings)
        async with (
            answering_tests(bus, door),
            SeatHolder(
                bus,
                role=Role.MIND,
                offers=MIND_OFFER,
                worker_id=settings.worker_id,
                room=settings.room,
                take=lambda lease: Mind(lease, bus, answering),
            ) as seats,
            health(
                settings,
                service=SERVICE,
                ready=lambda: {"bus": bus.is_connected},
                live_calls=lambda: seats.live_calls,
                used=lambda: seats.usage.totals,
            ),
        ):
            await stop_requested()
            await seats.leave(settings.drain_s)


def main() -> None:
    run(serve, Settings, SERVICE)
