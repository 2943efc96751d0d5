"""What transcripts of speech that goes on may cost: a share of one core, and never a final's time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

FIRST_AFTER_MS: Final = 500
EVERY_MS: Final = 400


class InterimBudget:
    """One for a worker. Under load there are fewer interims; a final is never late because of one."""

    def __init__(self, share: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._clock_s = clock_s
        self._finals = 0
        self._running = False
        self._next_at_s = 0.0

    @property
    def allows_one(self) -> bool:
        free = self._finals == 0 and not self._running
        return free and self._share > 0 and self._clock_s() >= self._next_at_s

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

    @contextmanager
    def final(self) -> Iterator[None]:
        self._finals += 1
        try:
            yield
        finally:
            self._finals -= 1
