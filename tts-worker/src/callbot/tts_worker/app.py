"""Which seat this worker holds, and what it does for each call."""

from callbot.runtime.bus import Bus
from callbot.runtime.seat import SeatHolder
from callbot.schemas.seats import Role
from callbot.schemas.subjects import MOUTH_OFFER
from callbot.tts_worker.chain_synthesizer import ChainSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.speaking import Mouth


def mouths(bus: Bus, synthesizer: ChainSynthesizer, settings: Settings) -> SeatHolder:
    return SeatHolder(
        bus,
        role=Role.MOUTH,
        offers=MOUTH_OFFER,
        worker_id=settings.worker_id,
        room=settings.room,
        take=lambda lease: Mouth(lease, bus, synthesizer),
        vital=lambda: synthesizer.ready,
    )
