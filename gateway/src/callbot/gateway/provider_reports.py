"""What the seats report of their providers, for the call's record."""

from collections.abc import Callable
from typing import Final

from callbot.gateway.hand_over import HandOver
from callbot.runtime.bus import Bus, Listening
from callbot.schemas.calls import CallFact, StageFallback
from callbot.schemas.message import Receipt
from callbot.schemas.providers import ProviderFellBack
from callbot.schemas.seats import Role
from callbot.schemas.subjects import PROVIDER_FELL_BACK

MAX_RECORDED: Final = 200
"""A call of hours whose first provider fails in every sentence has a record of an end nevertheless."""


class ProviderReports:
    def __init__(self, hand_over: HandOver, tell: Callable[[CallFact], None]) -> None:
        self._hand_over = hand_over
        self._tell = tell
        self._told: set[tuple[str, int, int]] = set()

    async def open(self, bus: Bus, call_id: str) -> Listening:
        return await bus.answer(PROVIDER_FELL_BACK, self._on_fell_back, call_id=call_id)

    async def _on_fell_back(self, report: ProviderFellBack) -> Receipt:
        if not self._hand_over.holds(Role(report.stage), report.epoch):
            return Receipt(accepted=False)
        key = (report.stage, report.epoch, report.number)
        if key not in self._told and len(self._told) < MAX_RECORDED:
            self._told.add(key)
            self._tell(StageFallback(stage=report.stage, reason=in_words(report)))
        return Receipt()


def in_words(report: ProviderFellBack) -> str:
    """`provider_fell_back: elevenlabs too_slow, then piper`."""
    instead = report.instead or "nobody"
    return f"provider_fell_back: {report.provider} {report.reason}, then {instead}"
