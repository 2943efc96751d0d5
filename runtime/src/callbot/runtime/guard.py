"""A provider's breaker on this process's clock, as a chain sees it."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from callbot.runtime.breaker import Breaker
from callbot.runtime.errors import ProviderError
from callbot.runtime.metrics import METRICS

log = logging.getLogger(__name__)
LEFT_ALONE = METRICS.gauge(
    "callbot_provider_left_alone",
    "1 while this worker leaves the provider alone, because it has failed.",
    "provider",
)


class Guard(Protocol):
    """May a provider be tried; and what came of it."""

    async def admits(self) -> bool:
        """True must be followed by `succeeded`, `failed`, `abandoned` or `outrun`, exactly one of them."""

    def succeeded(self, first_ms: float) -> None:
        """A first result, so long after the beginning. `finished` or `broken_off` may follow."""

    def failed(self, error: ProviderError) -> None:
        """No first result."""

    def abandoned(self) -> None:
        """Nobody wanted a result any more."""

    def outrun(self, waited_ms: float) -> None:
        """Another provider was faster."""

    def finished(self) -> None:
        """All results came."""

    def broken_off(self, error: ProviderError) -> None:
        """Results came, and then an error."""

    def p95_ms(self) -> float | None:
        """Of the times to the first result; None while there are too few."""


class LocalGuard:
    """Nobody else is told."""

    def __init__(
        self, provider: str, breaker: Breaker | None = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.provider = provider
        self.breaker = breaker or Breaker()
        self._now = now
        LEFT_ALONE.of(provider).set_function(lambda: int(self.is_left_alone))

    @property
    def is_left_alone(self) -> bool:
        return self.breaker.state != "closed" and self._now() < self.breaker.until

    async def admits(self) -> bool:
        return self.breaker.may_try(self._now())

    def succeeded(self, first_ms: float) -> None:
        was_left_alone = self.breaker.state != "closed"
        self.breaker.succeeded(self._now(), first_ms)
        if was_left_alone:
            log.info("a provider works again", extra={"provider": self.provider})
            self._changed(None)

    def failed(self, error: ProviderError) -> None:
        self._count(self.breaker.failed, error)

    def broken_off(self, error: ProviderError) -> None:
        self._count(self.breaker.broken_off, error)

    def abandoned(self) -> None:
        was_on_trial = self.breaker.state == "half_open"
        self.breaker.abandoned(self._now())
        if was_on_trial:
            self._changed(None)

    def outrun(self, waited_ms: float) -> None:
        self.breaker.outrun(waited_ms)
        self.abandoned()

    def finished(self) -> None:
        self.breaker.finished()

    def p95_ms(self) -> float | None:
        return self.breaker.p95_ms()

    def _count(self, counted: Callable[[float, ProviderError], None], error: ProviderError) -> None:
        before = self.breaker.state, self.breaker.until
        counted(self._now(), error)
        if (self.breaker.state, self.breaker.until) == before:
            return
        opened = self.breaker.state == "open" and self.breaker.reason == error.code
        if opened:
            for_s = round(self.breaker.until - self._now(), 1)
            facts = {"provider": self.provider, "reason": error.code, "for_s": for_s}
            log.warning("a provider is left alone", extra=facts)
        self._changed(error if opened else None)

    def _changed(self, by: ProviderError | None) -> None:
        """Something that other workers may want to know: it was opened by an error, or is open no more."""
