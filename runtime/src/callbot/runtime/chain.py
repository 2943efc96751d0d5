"""An ordered chain of providers: who answers first is used, who fails is followed by the next one.

Nothing is heard of a switch before the first result. What breaks after it is raised: only the caller knows
whether the rest can be left out, said again or asked for again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from callbot.runtime.attempt import Ended, Running, closed
from callbot.runtime.errors import ProviderError
from callbot.runtime.guard import Guard
from callbot.runtime.provider_metrics import count_attempt

P = TypeVar("P")
R = TypeVar("R")

STALL_S: Final = 2.0
LEAST_HEDGE_MS: Final = 150.0
CLOSE_WITHIN_S: Final = 1.0

Outcome = Literal["answered", "failed", "broken_off", "outrun", "abandoned", "skipped"]
"""`answered`: its first result is used. `broken_off`: and then it failed; told besides `answered`.
`outrun`: another was faster. `abandoned`: nobody wanted a result any more. `skipped`: it is left alone."""


@dataclass(frozen=True, slots=True)
class Link(Generic[P]):
    """One provider of a chain."""

    name: str
    provider: P
    guard: Guard
    deadline_s: float
    """From the beginning of an attempt to its first result."""
    stall_s: float = STALL_S
    """The longest wait for each result after the first."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What has become of one attempt."""

    provider: str
    outcome: Outcome
    first_ms: float | None = None
    """To its first result."""
    error_code: str = ""
    hedged: bool = False
    """It was begun beside one that was slow."""


def unheard(_: Attempt) -> None:
    """For who does not want to know."""


async def streamed(
    links: Sequence[Link[P]],
    begin: Callable[[Link[P]], AsyncGenerator[R, None]],
    *,
    hedge: bool = False,
    told: Callable[[Attempt], None] = unheard,
) -> AsyncGenerator[R, None]:
    """The results of the first link that has one within its deadline.

    `begin` is an async generator function; each generator runs in a task of its own from beginning to end, a
    few results ahead of the reader, and is closed when this one is.

    A link that is left alone by its breaker is skipped; when nothing else has answered, the last of those is
    tried nevertheless. `hedge`: a link that is slower than its own p95 (and 150 ms) gets the next one beside
    it, the first result wins and the other is closed behind the winner's back. A link that ends without any
    result is followed by the next one; when all do, so does this.

    `told` is called at each first result and at each end without one; it must be quick.
    Raises ProviderError: the link's own where only one was tried, else `all_failed`; after the first result
    `broken_off`, with the link's own as its cause.
    """
    race = _Race(links, begin, hedge, told)
    try:
        winner = await race.winner()
        if winner is None:
            return
        while not isinstance(result := await winner.running.next(winner.link.stall_s), Ended):
            yield result
        race.over(winner, result.error)
    finally:
        await race.close()


async def asked(
    links: Sequence[Link[P]],
    ask: Callable[[Link[P]], Awaitable[R]],
    *,
    hedge: bool = False,
    told: Callable[[Attempt], None] = unheard,
) -> R:
    """The same for one result. What was outrun may still be closing when this returns.

    Raises ProviderError.
    """

    async def begin(link: Link[P]) -> AsyncGenerator[R, None]:
        yield await ask(link)

    race = _Race(links, begin, hedge, told)
    try:
        winner = await race.winner()
        if winner and not isinstance(result := await winner.running.next(winner.link.stall_s), Ended):
            winner.link.guard.finished()
            return result
    finally:
        await race.close()
    raise ProviderError("no_result", "nobody has answered", retryable=False)


class _Try(Generic[P, R]):
    """A link that was begun."""

    def __init__(
        self,
        link: Link[P],
        begin: Callable[[Link[P]], AsyncGenerator[R, None]],
        *,
        admitted: bool,
        hedged: bool,
    ) -> None:
        self.link = link
        self.running: Running[R] = Running(link.name, lambda: begin(link))
        self.admitted = admitted
        self.hedged = hedged
        self.began_s = asyncio.get_running_loop().time()

    @property
    def deadline_s(self) -> float:
        return self.began_s + self.link.deadline_s

    @property
    def hedge_s(self) -> float:
        """When it is slower than usual, on the loop's clock."""
        p95_ms = self.link.guard.p95_ms()
        if p95_ms is None:
            return self.deadline_s
        return self.began_s + max(p95_ms, LEAST_HEDGE_MS) / 1000

    def attempt(self, outcome: Outcome, *, first_ms: float | None = None, error_code: str = "") -> Attempt:
        return Attempt(self.link.name, outcome, first_ms, error_code, self.hedged)


class _Race(Generic[P, R]):
    """From the first link that is begun to the first result; and what was begun, until it is closed."""

    def __init__(
        self,
        links: Sequence[Link[P]],
        begin: Callable[[Link[P]], AsyncGenerator[R, None]],
        hedge: bool,
        told: Callable[[Attempt], None],
    ) -> None:
        self._waiting = deque(links)
        self._begin = begin
        self._hedge = hedge
        self._tell = told
        self._skipped: list[Link[P]] = []
        self._errors: list[tuple[str, ProviderError]] = []
        self._trying: list[_Try[P, R]] = []
        self._begun: list[Running[R]] = []

    def _told(self, attempt: Attempt) -> None:
        count_attempt(attempt.provider, attempt.outcome, attempt.error_code, attempt.first_ms)
        self._tell(attempt)

    async def winner(self) -> _Try[P, R] | None:
        """None: all have ended without a result. Raises ProviderError when nobody answered."""
        if not self._waiting:
            raise ProviderError("no_provider", "the chain is empty", retryable=False)
        while True:
            if not self._trying and not await self._begin_next():
                self._give_up()
                return None
            await self._something_happens()
            for one in list(self._trying):
                if one.running.first_s is not None:
                    self._won(one)
                    return one
                self._lost_hope(one)

    async def _begin_next(self) -> bool:
        """False: there is none."""
        hedged = bool(self._trying)
        while self._waiting:
            link = self._waiting.popleft()
            if await link.guard.admits():
                self._start(link, admitted=True, hedged=hedged)
                return True
            self._skipped.append(link)
            self._told(Attempt(link.name, "skipped", hedged=hedged))
        if self._skipped and not hedged:
            self._start(self._skipped.pop(), admitted=False, hedged=False)
            self._skipped.clear()
            return True
        return False

    def _start(self, link: Link[P], *, admitted: bool, hedged: bool) -> None:
        one = _Try(link, self._begin, admitted=admitted, hedged=hedged)
        self._trying.append(one)
        self._begun.append(one.running)

    async def _something_happens(self) -> None:
        """A first result, an end, a deadline; or it is time for one more beside, which is begun."""
        now_s = asyncio.get_running_loop().time()
        wake_s = min(one.deadline_s for one in self._trying)
        hedging = self._hedge and len(self._trying) == 1 and bool(self._waiting)
        if hedging and (hedge_s := self._trying[0].hedge_s) < wake_s:
            wake_s = hedge_s
        else:
            hedging = False
        settled = {one.running.settled for one in self._trying}
        done, _ = await asyncio.wait(settled, timeout=max(0.0, wake_s - now_s), return_when="FIRST_COMPLETED")
        if hedging and not done:
            await self._begin_next()

    def _won(self, winner: _Try[P, R]) -> None:
        first_s = winner.running.first_s or 0.0
        first_ms = (first_s - winner.began_s) * 1000
        winner.link.guard.succeeded(first_ms)
        self._told(winner.attempt("answered", first_ms=first_ms))
        self._trying.remove(winner)
        now_s = asyncio.get_running_loop().time()
        for other in self._trying:
            other.running.leave()
            if other.admitted:
                other.link.guard.outrun((now_s - other.began_s) * 1000)
            self._told(other.attempt("outrun"))
        self._trying.clear()

    def _lost_hope(self, one: _Try[P, R]) -> None:
        """Where it has ended without a result, or is too late."""
        if (ended := one.running.ended) is not None:
            error = ended.error
        elif asyncio.get_running_loop().time() >= one.deadline_s:
            error = ProviderError("too_slow", f"nothing in {one.link.deadline_s} s", retryable=True)
            one.running.leave()
        else:
            return
        self._trying.remove(one)
        if error is None:
            if one.admitted:
                one.link.guard.abandoned()
            self._told(one.attempt("failed", error_code="nothing_came"))
            return
        one.link.guard.failed(error)
        self._errors.append((one.link.name, error))
        self._told(one.attempt("failed", error_code=error.code))

    def _give_up(self) -> None:
        if len(self._errors) == 1:
            raise self._errors[0][1]
        if self._errors:
            each = "; ".join(f"{name}: {error.code}" for name, error in self._errors)
            retryable = any(error.retryable for _, error in self._errors)
            raise ProviderError("all_failed", each, retryable=retryable)

    def over(self, winner: _Try[P, R], error: ProviderError | None) -> None:
        """Raises `broken_off`."""
        if error is None:
            winner.link.guard.finished()
            return
        winner.link.guard.broken_off(error)
        self._told(winner.attempt("broken_off", error_code=error.code))
        raise ProviderError("broken_off", f"{winner.link.name}: {error.code}", retryable=True) from error

    async def close(self) -> None:
        """Ends what was begun. Waited for, within limits, is only who was neither outrun nor too late."""
        for one in self._trying:
            if one.admitted:
                one.link.guard.abandoned()
            self._told(one.attempt("abandoned"))
        self._trying.clear()
        await closed(self._begun, CLOSE_WITHIN_S)
