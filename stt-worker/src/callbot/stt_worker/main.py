"""stt-worker: a caller's audio in, the turns of the caller out."""

from callbot.runtime.bus import connect
from callbot.runtime.health import health
from callbot.runtime.service import run, stop_requested
from callbot.stt_worker.app import ears, judge_for, readiness
from callbot.stt_worker.prosody import open_prosody
from callbot.stt_worker.recognizer import open_recognizer
from callbot.stt_worker.settings import Settings
from callbot.stt_worker.voice_activity import voice_activity

SERVICE = "stt-worker"


async def serve(settings: Settings) -> None:
    async with (
        open_recognizer(settings) as recognizer,
        open_prosody(settings) as prosody,
        voice_activity(judge_for(settings)) as detection,
        connect(settings.nats_url, speaks_as=SERVICE) as bus,
        ears(bus, detection, recognizer, prosody, settings) as seats,
        health(
            settings,
            service=SERVICE,
            ready=readiness(bus, detection, recognizer),
            live_calls=lambda: seats.live_calls,
        ),
    ):
        await stop_requested()
        await seats.leave(settings.drain_s)


def main() -> None:
    run(serve, Settings, SERVICE)
