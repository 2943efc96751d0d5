"""Who watches live calls through this gateway: not too many, and none when it stops."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from callbot.gateway.errors import ApiError

MOST_OF_A_CALL = 10
"""Who may watch a call must not be able to take all the seats."""


class Viewers:
    def __init__(self, room: int) -> None:
        self._room = room
        self._of_call: Counter[str] = Counter()
        self._woken_by: set[asyncio.Event] = set()
        self.stopping = False

    def __len__(self) -> int:
        return len(self._woken_by)

    @contextmanager
    def seat(self, call_id: str) -> Iterator[asyncio.Event]:
        """For one viewer, with the event that wakes it. Raises ApiError 503 when all seats are taken."""
        if self.stopping or len(self) >= self._room or self._of_call[call_id] >= MOST_OF_A_CALL:
            raise ApiError(
                503, "unavailable", "Too many live calls are being watched.", headers={"Retry-After": "5"}
            )
        wake = asyncio.Event()
        self._woken_by.add(wake)
        self._of_call[call_id] += 1
        try:
            yield wake
        finally:
            self._woken_by.discard(wake)
            self._of_call[call_id] -= 1
            self._of_call += Counter()

    def stop(self) -> None:
        self.stopping = True
        for wake in self._woken_by:
            wake.set()
