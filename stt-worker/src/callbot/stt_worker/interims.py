"""What transcripts of speech that goes on may cost: a share of one core, and never a final's time."""

import time
from collections.abc import Callable
from typing import Final

FIRST_AFTER_MS: Final = 500
EVERY_MS: Final = 600


class InterimBudget:
    """One for a worker. Under load there are fewer interims; a final finds a decoder free."""

    def __init__(self, share: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._clock_s = clock_s
        self._begun_s: float | None = None
        self._next_at_s = 0.0

    def begin(self, free_decoders: int) -> bool:
        """Takes the place for one interim until `end`, if there is any: a decoder is left for a final."""
        now_s = self._clock_s()
        free = self._begun_s is None and free_decoders >= 2
        if not free or self._share <= 0 or now_s < self._next_at_s:
            return False
        self._begun_s = now_s
        return True

    def end(self) -> None:
        if self._begun_s is not None:
            took_s = self._clock_s() - self._begun_s
            self._next_at_s = self._begun_s + took_s / self._share
            self._begun_s = None
