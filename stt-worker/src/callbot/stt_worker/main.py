"""stt-worker: a caller's audio in, the turns of the caller out."""

from callbot.runtime.bus import connect
from callbot.runtime.health import health
from callbot.runtime.service import run, stop_requested
from callbot.runtime.shared_breakers import SharedBreakers
from callbot.stt_worker.app import ears, judge_for, readiness
from callbot.stt_worker.prosody import open_prosody
from callbot.stt_worker.recognition import open_recognition
from callbot.stt_worker.settings import Settings
from callbot.stt_worker.voice_activity import voice_activity

SERVICE = "stt-worker"


async def serve(settings: Settings) -> None:
    async with (
        connect(settings.nats_url, speaks_as=SERVICE) as bus,
        SharedBreakers(bus, "stt", settings.worker_id, longest_open_s=settings.left_alone_s) as breakers,
        open_recognition(settings, breakers) as recognition,
        open_prosody(settings) as prosody,
        voice_activity(judge_for(settings)) as detection,
        ears(bus, detection, recognition, prosody, settings) as seats,
        health(
            settings,
            service=SERVICE,
            ready=readiness(bus, detection, recognition),
            live_calls=lambda: seats.live_calls,
            used=lambda: seats.usage.totals,
        ),
    ):
        await stop_requested()
        await seats.leave(settings.drain_s)


def main() -> None:
    run(serve, Settings, SERVICE)
