"""At most so many webhook calls a second for a user, all workers together.

Who wants to call reserves a moment in the bucket `webhook-permits`, by compare-and-set, and waits for it.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError
from callbot.schemas.memory import WEBHOOK_PERMITS

log = logging.getLogger(__name__)

WINDOW_MS = 1000
MOST_AHEAD_MS = 30_000
"""Nobody reserves so far ahead: a stamp beyond was written by a clock that is wrong."""
BUCKET_WITHIN_S = 0.15
WITHOUT_BUCKET_S = 1.0
"""So long after a failure the bucket is not asked: a turn does not wait for it again and again."""


class NoPermit(Exception):
    """All moments until then are taken."""


def reserve(stamps: Sequence[int], now_ms: int, rate: int) -> tuple[int, list[int]]:
    """The first moment, now or later, at which one more call leaves at most `rate` in any second.

    And what is reserved then: `stamps` are milliseconds of Unix time, of which the last `rate` matter and are
    kept. A second is half-open: a call at 0 and one at 1000 are not in the same.
    """
    kept = sorted(stamp for stamp in stamps if stamp <= now_ms + MOST_AHEAD_MS)[-rate:]
    start_ms = now_ms if len(kept) < rate else max(now_ms, kept[0] + WINDOW_MS)
    return start_ms, sorted([*kept, start_ms])[-rate:]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Permits:
    """Of one worker."""

    def __init__(
        self,
        bus: Bus,
        rate: int,
        *,
        bucket_within_s: float = BUCKET_WITHIN_S,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._bus = bus
        self._rate = rate
        self._bucket_within_s = bucket_within_s
        self._now_ms = now_ms
        self._bucket: KeyValue | None = None
        self._queues: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._away_until_s = 0.0
        self._away = False

    async def wait(self, user_id: str, within_s: float) -> int | None:
        """Returns at the moment that was reserved, in Unix milliseconds; None without the bucket.

        Raises NoPermit, at once, where neither now nor within that time a moment is free. Each attempt has
        its deadline; how often other workers may be faster is bounded by the caller's.
        """
        if self._rate == 0:
            return None
        start_ms = await self._reserved(user_id, self._now_ms() + round(within_s * 1000))
        if start_ms is not None:
            await asyncio.sleep(max(0, start_ms - self._now_ms()) / 1000)
        return start_ms

    async def _reserved(self, user_id: str, until_ms: int) -> int | None:
        """One at a time for each user: this worker's own calls need not overtake each other."""
        async with self._queues.setdefault(user_id, asyncio.Lock()):
            return await self._compare_and_set(user_id, until_ms)

    async def _compare_and_set(self, user_id: str, until_ms: int) -> int | None:
        while time.monotonic() >= self._away_until_s:
            try:
                async with asyncio.timeout(self._bucket_within_s):
                    start_ms = await self._attempt(user_id, until_ms)
            except KeyWrongLastSequenceError:
                continue
            except (BusError, NatsError, TimeoutError) as e:
                self._gone(e)
                return None
            if self._away:
                log.warning("webhook calls are counted again")
                self._away = False
            return start_ms
        return None

    async def _attempt(self, user_id: str, until_ms: int) -> int:
        """Raises NoPermit, KeyWrongLastSequenceError (another was faster), BusError, NatsError."""
        self._bus.require_link()
        if self._bucket is None:
            self._bucket = await self._bus.bucket(WEBHOOK_PERMITS)
        try:
            entry = await self._bucket.get(user_id)
            stamps, revision = _stamps(entry.value), entry.revision
        except KeyNotFoundError:
            stamps, revision = [], None
        now_ms = self._now_ms()
        start_ms, stamps = reserve(stamps, now_ms, self._rate)
        if start_ms > max(now_ms, until_ms):
            raise NoPermit
        await self._bucket.update(user_id, json.dumps(stamps).encode(), last=revision)
        return start_ms

    def _gone(self, error: Exception) -> None:
        self._away_until_s = time.monotonic() + WITHOUT_BUCKET_S
        self._bucket = None
        if not self._away:
            log.warning("webhook calls are not counted", extra={"reason": str(error) or type(error).__name__})
            self._away = True


def _stamps(value: bytes | None) -> list[int]:
    """What cannot be read counts as nothing."""
    try:
        stamps = json.loads(value or b"[]")
    except ValueError:
        return []
    if not isinstance(stamps, list):
        return []
    return [stamp for stamp in stamps if isinstance(stamp, int) and not isinstance(stamp, bool)]
