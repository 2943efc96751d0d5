"""The breakers of a role in one worker, told to its other workers through the bucket `breakers`.

What a worker opens for a passing reason (deadlines, 5xx, 429) the others take over, and of all workers one
makes the trial. What will not pass (a refused key) each worker finds out by itself, with one request: its
settings may be other than theirs. Without NATS, or without the bucket, a breaker is this worker's own.
"""

import asyncio
import logging
import random
import re
from contextlib import suppress
from typing import Final, Literal, Self

from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import ValidationError

from callbot.runtime.breaker import LONGEST_OPEN_S, Breaker
from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import BusError
from callbot.runtime.guard import Guard, LocalGuard
from callbot.runtime.shared_guard import SharedGuard
from callbot.schemas.memory import BREAKERS
from callbot.schemas.providers import BreakerState

log = logging.getLogger(__name__)

CLAIM_WITHIN_S: Final = 0.1
"""A caller waits for it."""
EXCHANGE_WITHIN_S: Final = 2.0
AGAIN_S: Final = 1.0
"""So long after a failure the bucket is not asked."""
READ_EVERY_S: Final = 10.0
"""Writes are heard as they happen; this finds those that were missed while the link was down."""
_MAY_BE_A_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SharedBreakers:
    """`async with SharedBreakers(bus, "tts", settings.worker_id) as breakers: breakers.guard("google")`."""

    def __init__(
        self,
        bus: Bus,
        role: Literal["stt", "llm", "tts"],
        worker_id: str,
        *,
        longest_open_s: float = LONGEST_OPEN_S,
        claim_within_s: float = CLAIM_WITHIN_S,
        read_every_s: float = READ_EVERY_S,
    ) -> None:
        self._bus = bus
        self._role = role
        self._worker_id = worker_id
        self._longest_open_s = longest_open_s
        self._claim_within_s = claim_within_s
        self._read_every_s = read_every_s
        self._guards: dict[str, LocalGuard] = {}
        self._shared: dict[str, SharedGuard] = {}
        self._unread: set[str] = set()
        self._bucket: KeyValue | None = None
        self._listening: Listening | None = None
        self._something_new = asyncio.Event()
        self._away = False
        self._away_until_s = 0.0
        self._exchanging: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Never fails and never waits for NATS."""
        self._exchanging = asyncio.create_task(self._keep_exchanging())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._exchanging is not None:
            self._exchanging.cancel()
            await asyncio.gather(self._exchanging, return_exceptions=True)
        if self._listening is not None:
            await self._listening.stop()

    def guard(self, provider: str) -> Guard:
        """The same one for the same name. A name that cannot be a key is not shared."""
        if provider not in self._guards:
            breaker = Breaker(longest_open_s=self._longest_open_s)
            if _MAY_BE_A_KEY.fullmatch(provider):
                guard = SharedGuard(provider, self._worker_id, self._claim, self._something_new.set, breaker)
                self._guards[provider] = self._shared[provider] = guard
                self._unread.add(provider)
                self._something_new.set()
            else:
                self._guards[provider] = LocalGuard(provider, breaker)
        return self._guards[provider]

    async def _keep_exchanging(self) -> None:
        while True:
            self._something_new.clear()
            try:
                async with asyncio.timeout(EXCHANGE_WITHIN_S):
                    await self._exchange()
            except Exception as e:
                if not isinstance(e, BusError | NatsError | TimeoutError):
                    log.exception("breakers could not be shared", extra={"role": self._role})
                self._gone(e)
                await asyncio.sleep(AGAIN_S)
                continue
            self._is_back()
            try:
                async with asyncio.timeout(self._read_every_s * random.uniform(0.8, 1.2)):
                    await self._something_new.wait()
            except TimeoutError:
                self._unread.update(self._shared)

    async def _exchange(self) -> None:
        """Raises BusError, NatsError. What was not told or read stays to be done."""
        self._bus.require_link()
        if self._listening is None:
            self._listening = await self._bus.watch(BREAKERS, self._on_write)
        bucket = await self._opened_bucket()
        for provider, guard in self._shared.items():
            if (state := guard.take_news()) is not None:
                try:
                    await bucket.put(self._key(provider), state.encode())
                except BaseException:
                    guard.put_news_back()
                    raise
        for provider in list(self._unread):
            with suppress(KeyNotFoundError):
                entry = await bucket.get(self._key(provider))
                self._on_write(self._key(provider), entry.value or b"")
            self._unread.discard(provider)

    def _on_write(self, key: str, value: bytes) -> None:
        role, _, provider = key.partition(".")
        guard = self._shared.get(provider)
        if role == self._role and guard is not None and (state := _state(value)) is not None:
            guard.hear(state)

    async def _claim(self, guard: SharedGuard) -> BreakerState | None:
        """None: the trial is ours. Else what another worker has told; without the bucket, ours."""
        if asyncio.get_running_loop().time() < self._away_until_s:
            return None
        key = self._key(guard.provider)
        try:
            async with asyncio.timeout(self._claim_within_s):
                self._bus.require_link()
                bucket = await self._opened_bucket()
                try:
                    entry = await bucket.get(key)
                    theirs, revision = _state(entry.value or b""), entry.revision
                except KeyNotFoundError:
                    theirs, revision = None, None
                if theirs is not None and guard.keeps_out(theirs):
                    return theirs
                await bucket.update(key, guard.trial().encode(), last=revision)
        except KeyWrongLastSequenceError:
            return guard.trial_of_another()
        except Exception as e:
            # Whatever is wrong with the bucket must not cost the caller an attempt.
            self._gone(e)
        return None

    async def _opened_bucket(self) -> KeyValue:
        if self._bucket is None:
            self._bucket = await self._bus.bucket(BREAKERS)
        return self._bucket

    def _key(self, provider: str) -> str:
        return f"{self._role}.{provider}"

    def _gone(self, error: Exception) -> None:
        self._away_until_s = asyncio.get_running_loop().time() + AGAIN_S
        self._bucket = None
        if not self._away:
            reason = str(error) or type(error).__name__
            log.warning("breakers are not shared", extra={"role": self._role, "reason": reason})
            self._away = True

    def _is_back(self) -> None:
        if self._away:
            log.warning("breakers are shared again", extra={"role": self._role})
            self._away = False


def _state(value: bytes) -> BreakerState | None:
    """What cannot be read says nothing."""
    try:
        return BreakerState.decode(value)
    except ValidationError:
        return None
