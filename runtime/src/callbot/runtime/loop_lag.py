"""How late the event loop of this process turns: what each frame of each call waits besides its own work."""

import asyncio
import contextlib
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from callbot.runtime.metrics import METRICS

LAG: Final = METRICS.histogram(
    "callbot_loop_lag_seconds",
    "How late the event loop of this process turns, a sample each 50 ms.",
    bounds=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
).of()
EVERY_S: Final = 0.05
KEPT: Final = 1200
"""Samples: the last minute."""


class LoopLag:
    def __init__(self) -> None:
        self._late_ms = array("f", [0.0] * KEPT)
        self._taken = 0

    def add(self, late_ms: float) -> None:
        self._late_ms[self._taken % KEPT] = max(0.0, late_ms)
        self._taken += 1

    def told(self) -> dict[str, float]:
        """Of the last minute, in milliseconds."""
        kept = sorted(self._late_ms[: min(self._taken, KEPT)]) or [0.0]
        shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        return {
            name: round(kept[min(len(kept) - 1, int(len(kept) * share))], 2) for name, share in shares.items()
        }

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """Takes a sample every 50 ms while the block runs."""
        measuring = asyncio.create_task(self._measure())
        try:
            yield
        finally:
            measuring.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await measuring

    async def _measure(self) -> None:
        due_s = time.monotonic()
        while True:
            due_s += EVERY_S
            # A loop that stood still for a second was late for everything that was due in it.
            await asyncio.sleep(due_s - time.monotonic())
            late_s = max(0.0, time.monotonic() - due_s)
            self.add(late_s * 1000)
            LAG.observe(late_s)
