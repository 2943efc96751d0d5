"""When a caller has waited too long and heard nothing: the promise that is never to be broken. Pure."""

from dataclasses import dataclass
from math import inf
from typing import Literal

LONGEST_MS = 2500

Since = Literal["last_word", "last_sound"]


@dataclass(frozen=True)
class Owed:
    """Something is owed to the caller, and nothing sounds. Times are the gateway's clock in milliseconds."""

    last_word_at_ms: float
    last_sound_at_ms: float


class Silence:
    """Of one call."""

    def __init__(self) -> None:
        self._counted_since_ms = -inf
        self._owed: Owed | None = None

    def too_long(self, owed: Owed | None, now_ms: float) -> Since | None:
        """To be asked with every tick; told once for each silence. `owed`: None where something sounds.

        A process that stood still finds that something sounds, and that nothing did before: that counts too.
        """
        owed, self._owed = owed or self._owed, owed
        if owed is None:
            return None
        since_ms = max(owed.last_word_at_ms, owed.last_sound_at_ms)
        if now_ms - since_ms <= LONGEST_MS or since_ms <= self._counted_since_ms:
            return None
        self._counted_since_ms = since_ms
        return "last_sound" if owed.last_sound_at_ms > owed.last_word_at_ms else "last_word"
