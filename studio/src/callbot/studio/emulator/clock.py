"""The clock of a phone line: absolute deadlines, so it never drifts; how late they were met is measured."""

import asyncio
import time
from array import array


class Clock:
    """Milliseconds since it was made, by the monotonic clock."""

    def __init__(self, speed: float = 1.0) -> None:
        """`speed` above 1 shortens time, for tests that have no real platform at the other end."""
        self._speed = speed
        self._began_s = time.monotonic()

    def now_ms(self) -> float:
        return (time.monotonic() - self._began_s) * 1000 * self._speed

    async def sleep_until(self, at_ms: float) -> None:
        """Also gives way to others when `at_ms` is over."""
        await asyncio.sleep(max(0.0, (at_ms - self.now_ms()) / 1000 / self._speed))


class Lateness:
    """How late deadlines were met, in milliseconds."""

    def __init__(self) -> None:
        self._late_ms = array("f")

    def add(self, late_ms: float) -> None:
        self._late_ms.append(max(0.0, late_ms))

    @property
    def count(self) -> int:
        return len(self._late_ms)

    @property
    def p99_ms(self) -> float:
        return sorted(self._late_ms)[int(self.count * 0.99)] if self._late_ms else 0.0

    @property
    def max_ms(self) -> float:
        return max(self._late_ms, default=0.0)
