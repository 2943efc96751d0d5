"""The stt-worker put together: what a held seat of ears does, and when the worker is well."""

from collections.abc import Callable, Mapping

from callbot.runtime.bus import Bus
from callbot.runtime.lease import Lease
from callbot.runtime.seat import SeatHolder
from callbot.schemas.seats import Role
from callbot.schemas.subjects import EARS_OFFER
from callbot.stt_worker.interims import InterimBudget
from callbot.stt_worker.listening import CallEars
from callbot.stt_worker.prosody import Prosody
from callbot.stt_worker.recognition import Recognition
from callbot.stt_worker.settings import Settings
from callbot.stt_worker.voice_activity import EnergyJudge, Judge, VoiceActivity


def judge_for(settings: Settings) -> Judge:
    """Raises SettingsError. Silero is imported only when it is chosen."""
    if settings.vad == "energy":
        return EnergyJudge()
    from callbot.stt_worker.providers.silero import SileroJudge

    return SileroJudge(settings.vad_model)


def ears(
    bus: Bus, detection: VoiceActivity, recognition: Recognition, prosody: Prosody, settings: Settings
) -> SeatHolder:
    """The seats of this worker; it stops beating when its models are stuck."""
    budget = InterimBudget(settings.interim_share)

    def take(lease: Lease) -> CallEars:
        return CallEars(lease, bus, detection, recognition, prosody, budget, settings)

    return SeatHolder(
        bus,
        role=Role.EARS,
        offers=EARS_OFFER,
        worker_id=settings.worker_id,
        room=settings.room,
        take=take,
        vital=lambda: detection.working and recognition.working,
    )


def readiness(
    bus: Bus, detection: VoiceActivity, recognition: Recognition
) -> Callable[[], Mapping[str, bool]]:
    def checks() -> Mapping[str, bool]:
        return {
            "bus": bus.is_connected,
            "voice_activity": detection.working,
            "recognizer": recognition.working,
        }

    return checks
