"""A guard that tells other workers what it has found out, and believes what they tell."""

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from callbot.runtime.breaker import TRIAL_S, Breaker, State
from callbot.runtime.errors import ProviderError
from callbot.runtime.guard import LocalGuard
from callbot.schemas.providers import BreakerState

log = logging.getLogger(__name__)

DOUBTED_S: Final = 1.0
"""Who had a result within this time does not believe a worker that says there are none."""
LOST_CLAIM_S: Final = 1.0
LONGEST_BELIEVED_S: Final = 60.0
"""Another worker's clock may be wrong."""


class SharedGuard(LocalGuard):
    """`claim` asks the others for the trial: None where it is ours. `wake` is called when there are news."""

    def __init__(
        self,
        provider: str,
        worker_id: str,
        claim: Callable[["SharedGuard"], Awaitable[BreakerState | None]],
        wake: Callable[[], None],
        breaker: Breaker | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(provider, breaker, now=now)
        self._worker_id = worker_id
        self._claim = claim
        self._wake = wake
        self._wall = wall
        self._has_news = False
        self._own_fault = False
        """It is open for a reason that the other workers need not have."""
        self._changed_at = wall()
        self._succeeded_s = -DOUBTED_S
        self._obeyed = ""
        """The worker whose trial is being waited for."""

    async def admits(self) -> bool:
        if not self.breaker.may_try(self._now()):
            return False
        on_trial = self.breaker.state == "half_open"
        if not on_trial or self._own_fault:
            return True
        try:
            theirs = await self._claim(self)
        except BaseException:
            self.breaker.abandoned(self._now())
            raise
        if theirs is None or self.breaker.state == "closed":
            self._obeyed = ""
            return True
        self.breaker.abandoned(self._now())
        self._believe(theirs)
        return False

    def succeeded(self, first_ms: float) -> None:
        self._succeeded_s, self._obeyed = self._now(), ""
        super().succeeded(first_ms)

    def take_news(self) -> BreakerState | None:
        """What the others do not know yet. Who cannot tell it puts it back."""
        has_news, self._has_news = self._has_news, False
        if not has_news or self.breaker.state == "half_open":
            # A trial was told when it was claimed.
            return None
        return self._told_as(self.breaker.state, self._moment(self.breaker.until))

    def put_news_back(self) -> None:
        self._has_news = True

    def trial(self) -> BreakerState:
        return self._told_as("half_open", self._wall() + timedelta(seconds=TRIAL_S))

    def trial_of_another(self) -> BreakerState:
        """Another has just been faster: who it was is heard soon."""
        until = self._wall() + timedelta(seconds=LOST_CLAIM_S)
        return self._told_as("half_open", until).model_copy(update={"by": "unknown"})

    def keeps_out(self, theirs: BreakerState) -> bool:
        return theirs.by != self._worker_id and theirs.state != "closed" and theirs.until > self._wall()

    def hear(self, theirs: BreakerState) -> None:
        """What this worker has found out later than that stays."""
        if theirs.by == self._worker_id or self._own_fault:
            return
        if theirs.state == "closed":
            if self.breaker.state != "closed" and theirs.until >= self._changed_at:
                self.breaker.close(self._now())
                self._obeyed, self._has_news = "", False
        elif theirs.by == self._obeyed or self._is_news(theirs):
            self._believe(theirs)

    def _is_news(self, theirs: BreakerState) -> bool:
        if self.breaker.state == "half_open" or self._now() - self._succeeded_s < DOUBTED_S:
            return False
        for_s = self._seconds_to(theirs.until)
        return for_s > 0 and self._now() + for_s > self.breaker.until

    def _believe(self, theirs: BreakerState) -> None:
        was_closed = self.breaker.state == "closed"
        for_s = min(self._seconds_to(theirs.until), LONGEST_BELIEVED_S)
        self.breaker.leave_alone(self._now() + for_s, theirs.opened_times, theirs.reason)
        self._obeyed = theirs.by if theirs.state == "half_open" else ""
        if was_closed:
            facts = {"provider": self.provider, "reason": theirs.reason, "for_s": round(for_s, 1)}
            log.warning("a provider is left alone: another worker says so", extra=facts)

    def _changed(self, by: ProviderError | None) -> None:
        self._changed_at = self._wall()
        if by is not None and not by.retryable:
            self._own_fault = True
        if not self._own_fault:
            self._has_news = True
            self._wake()
        elif self.breaker.state == "closed":
            self._own_fault = False

    def _told_as(self, state: State, until: datetime) -> BreakerState:
        return BreakerState(
            state=state,
            until=until,
            opened_times=self.breaker.opened_times,
            reason=self.breaker.reason,
            by=self._worker_id,
        )

    def _moment(self, now: float) -> datetime:
        return self._wall() + timedelta(seconds=now - self._now())

    def _seconds_to(self, until: datetime) -> float:
        return (until - self._wall()).total_seconds()
