"""What transcripts of speech that goes on may cost: a share of one core, and never a final's time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

FIRST_AFTER_MS: Final = 500
EVERY_MS: Final = 400


class InterimBudget:
    """One for a worker. Under load there are fewer interims; a final finds a decoder free."""

    def __init__(self, share: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._clock_s = clock_s
        self._running = False
        self._next_at_s = 0.0

    def allows_one(self, free_decoders: int) -> bool:
        """With one decoder left for a final that comes meanwhile."""
        due = not self._running and self._clock_s() >= self._next_at_s
        return due and self._share > 0 and free_decoders >= 2

    @contextmanager
    def interim(self) -> Iterator[None]:
        begun_s = self._clock_s()
        self._running = True
        try:
            yield
        finally:
            self._running = False
            took_s = self._clock_s() - begun_s
            self._next_at_s = begun_s + took_s / self._share
