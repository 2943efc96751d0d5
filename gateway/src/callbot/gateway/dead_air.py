"""No silence that nobody fills: what to say when an answer takes long or the caller is silent. Pure."""

from dataclasses import dataclass
from typing import Literal

FILLER_AFTER_MS = 1200
"""From the end of the caller's turn."""
SOUND_WITHIN_MS = 2300
"""From the caller's last word: where the end of the turn was long in doubt, the filler comes sooner."""
FILLER_AT_LEAST_AFTER_MS = 400
FILLER_AGAIN_AFTER_MS = 6000
SILENT_CALLER_MS = 7000
PROMPTS = 2
"""So often a silent caller is asked; then the call ends."""
WARNING_MS = 60_000
WARNING_AT_LEAST_MS = 10_000
"""With less time left the sentence would be wrong."""
SHORTEST_WARNED_MS = 120_000

Due = Literal["nothing", "filler", "still_there", "silent_goodbye", "ending_soon"]


@dataclass(frozen=True)
class Waiting:
    """A turn of the caller of whose answer nothing has sounded yet."""

    opened_at_ms: float
    last_word_at_ms: float
    fillers: int = 0
    """How often it was asked for patience in this turn."""


@dataclass(frozen=True)
class Air:
    """What there is to hear."""

    waiting: Waiting | None
    bot_audible_until_ms: float
    caller_busy: bool
    """The caller makes a sound, presses keys, or cannot be heard."""
    turn_open: bool
    call_ms: float
    max_call_ms: float


class DeadAir:
    def __init__(self, now_ms: float) -> None:
        self._caller_at_ms = now_ms
        self._prompts = 0
        self._warned = False

    def caller_spoke(self, now_ms: float) -> None:
        self._caller_at_ms = now_ms
        self._prompts = 0

    def due(self, air: Air, now_ms: float) -> Due:
        """What has to be said now; it counts as said."""
        if air.caller_busy:
            self._caller_at_ms = now_ms
        if air.turn_open:
            return "filler" if _filler_due(air, now_ms) else "nothing"
        if air.caller_busy:
            return "nothing"
        left_ms = air.max_call_ms - air.call_ms
        if not self._warned and air.max_call_ms >= SHORTEST_WARNED_MS and left_ms <= WARNING_MS:
            self._warned = True
            if left_ms >= WARNING_AT_LEAST_MS:
                return "ending_soon"
        if now_ms - max(self._caller_at_ms, air.bot_audible_until_ms) < SILENT_CALLER_MS:
            return "nothing"
        self._prompts += 1
        return "still_there" if self._prompts <= PROMPTS else "silent_goodbye"


def _filler_due(air: Air, now_ms: float) -> bool:
    waiting = air.waiting
    if waiting is None or now_ms < air.bot_audible_until_ms:
        return False
    if waiting.fillers:
        return now_ms - air.bot_audible_until_ms >= FILLER_AGAIN_AFTER_MS
    soonest_ms = waiting.opened_at_ms + FILLER_AT_LEAST_AFTER_MS
    wished_ms = min(waiting.opened_at_ms + FILLER_AFTER_MS, waiting.last_word_at_ms + SOUND_WITHIN_MS)
    return now_ms >= max(soonest_ms, wished_ms)
