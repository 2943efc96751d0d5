"""tts-worker: sentences in, 8 kHz mu-law out."""

from callbot.runtime.bus import connect
from callbot.runtime.health import health
from callbot.runtime.service import run, stop_requested
from callbot.runtime.shared_breakers import SharedBreakers
from callbot.tts_worker.app import mouths
from callbot.tts_worker.opening import open_synthesizer
from callbot.tts_worker.phrases import speaking_phrases
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.voices import ToldVoices

SERVICE = "tts-worker"


async def serve(settings: Settings) -> None:
    async with (
        connect(settings.nats_url, speaks_as=SERVICE) as bus,
        SharedBreakers(bus, "tts", settings.worker_id, longest_open_s=settings.left_alone_s) as breakers,
        open_synthesizer(settings, breakers.guard) as synthesizer,
        ToldVoices(bus, synthesizer, settings.worker_id) as voices,
        mouths(bus, synthesizer, settings) as seats,
        speaking_phrases(bus, synthesizer, seats.usage.add),
        health(
            settings,
            service=SERVICE,
            ready=lambda: {"bus": bus.is_connected, "voice": synthesizer.ready, "voices": voices.told},
            live_calls=lambda: seats.live_calls,
            used=lambda: seats.usage.totals,
        ),
    ):
        await stop_requested()
        await seats.leave(within_s=settings.drain_s)


def main() -> None:
    run(serve, Settings, SERVICE)
