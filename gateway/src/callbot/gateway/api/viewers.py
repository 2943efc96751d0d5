"""Who watches live calls through this gateway: not too many, and none when it stops."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from callbot.gateway.errors import ApiError


class Viewers:
    def __init__(self, room: int) -> None:
        self._room = room
        self._woken_by: set[asyncio.Event] = set()
        self.stopping = False

    def __len__(self) -> int:
        return len(self._woken_by)

    @contextmanager
    def seat(self) -> Iterator[asyncio.Event]:
        """For one viewer, with the event that wakes it. Raises ApiError 503 when all seats are taken."""
        if self.stopping or len(self) >= self._room:
            raise ApiError(
                503, "unavailable", "Too many live calls are being watched.", headers={"Retry-After": "5"}
            )
        wake = asyncio.Event()
        self._woken_by.add(wake)
        try:
            yield wake
        finally:
            self._woken_by.discard(wake)

    def stop(self) -> None:
        self.stopping = True
        for wake in self._woken_by:
            wake.set()
