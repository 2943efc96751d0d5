"""What a worker believes of what other workers tell about a provider, and what it tells itself."""

from datetime import UTC, datetime, timedelta

import pytest

from callbot.runtime.breaker import State
from callbot.runtime.errors import ProviderError
from callbot.runtime.shared_guard import DOUBTED_S, LOST_CLAIM_S, SharedGuard
from callbot.schemas.providers import BreakerState

DOWN = ProviderError("unavailable", "", retryable=True)
REFUSED = ProviderError("unauthorized", "", retryable=False)
UNKNOWN_VOICE = ProviderError("unknown_voice", "", retryable=False)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Worker:
    """One guard on a clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.woken = 0
        self.claims: list[BreakerState | None] = []
        self.guard = SharedGuard(
            "vendor", "w-me", self._claim, self._wake, now=lambda: self.now_s, wall=lambda: self.at(0)
        )

    async def _claim(self, _: SharedGuard) -> BreakerState | None:
        return self.claims.pop(0)

    def _wake(self) -> None:
        self.woken += 1

    def at(self, in_s: float) -> datetime:
        return EPOCH + timedelta(seconds=self.now_s + in_s)

    def told(self, state: State, in_s: float, by: str = "w-other", times: int = 1) -> BreakerState:
        return BreakerState(state=state, until=self.at(in_s), opened_times=times, reason="told", by=by)

    def hears(self, state: State, in_s: float, by: str = "w-other", times: int = 1) -> None:
        self.guard.hear(self.told(state, in_s, by, times))

    def fails(self, error: ProviderError = DOWN, times: int = 3) -> None:
        for _ in range(times):
            self.guard.failed(error)

    @property
    def alone_s(self) -> float | None:
        """For how long the provider is left alone; None: it is not."""
        breaker = self.guard.breaker
        return None if breaker.state == "closed" else breaker.until - self.now_s


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.mark.parametrize(
    ("state", "in_s", "by", "alone_s"),
    [
        ("open", 5, "w-other", 5),
        ("half_open", 10, "w-other", 10),
        ("open", -1, "w-other", None),
        ("open", 3600, "w-other", 60),
        ("closed", 0, "w-other", None),
        ("open", 5, "w-me", None),
    ],
)
def test_what_it_believes(worker: Worker, state: State, in_s: float, by: str, alone_s: float | None) -> None:
    worker.hears(state, in_s, by)
    assert worker.alone_s == alone_s
    assert worker.guard.take_news() is None, "what is known need not be told"


def test_the_later_end_counts(worker: Worker) -> None:
    worker.hears("open", 20, "w-first")
    worker.hears("open", 5, "w-second")
    assert worker.alone_s == 20
    worker.hears("open", 40, "w-third", times=4)
    assert (worker.alone_s, worker.guard.breaker.opened_times) == (40, 4)


def test_who_has_just_had_a_result_does_not_believe_that_there_are_none(worker: Worker) -> None:
    worker.guard.succeeded(80)
    worker.now_s += DOUBTED_S / 2
    worker.hears("open", 5)
    assert worker.alone_s is None
    worker.now_s += DOUBTED_S / 2
    worker.hears("open", 5)
    assert worker.alone_s == 5


def test_a_success_elsewhere_counts_when_it_is_the_newer(worker: Worker) -> None:
    worker.fails()
    worker.hears("closed", -0.1)
    assert worker.alone_s == 5, "it was before"
    worker.hears("closed", 0.1)
    assert worker.alone_s is None
    assert worker.guard.take_news() is None, "and our own opening is old news then"


def test_whose_trial_it_waits_for_is_believed_about_its_end(worker: Worker) -> None:
    worker.hears("half_open", 10, "w-trying")
    worker.hears("open", 5, "w-other")
    assert worker.alone_s == 10
    worker.hears("open", 0, "w-trying")
    assert worker.alone_s == 0, "given up: another may try"


def test_what_it_tells(worker: Worker) -> None:
    worker.fails()
    assert worker.woken == 1
    news = worker.guard.take_news()
    assert news is not None
    assert (news.state, news.until, news.reason, news.opened_times) == (
        "open",
        worker.at(5),
        "unavailable",
        1,
    )
    assert worker.guard.take_news() is None
    worker.guard.put_news_back()
    assert worker.guard.take_news() == news
    worker.guard.succeeded(80)
    news = worker.guard.take_news()
    assert news is not None and (news.state, news.until) == ("closed", worker.at(0))
    worker.guard.succeeded(80)
    assert worker.guard.take_news() is None


async def test_the_trial_is_claimed_and_its_end_told(worker: Worker) -> None:
    worker.fails()
    worker.now_s += 5
    worker.claims = [None]
    assert [await worker.guard.admits(), await worker.guard.admits()] == [True, False]
    assert worker.guard.take_news() is None, "the claim has told it"
    worker.hears("open", 60)
    assert worker.guard.breaker.state == "half_open", "who tries knows best"
    worker.guard.failed(UNKNOWN_VOICE)
    news = worker.guard.take_news()
    assert news is not None and (news.state, news.until) == ("open", worker.at(0)), "free for another"


async def test_a_trial_that_another_makes_is_waited_for(worker: Worker) -> None:
    worker.fails()
    worker.now_s += 5
    worker.claims = [worker.told("half_open", 8)]
    assert not await worker.guard.admits()
    assert worker.alone_s == 8
    worker.now_s += 8
    worker.claims = [worker.guard.trial_of_another(), None]
    assert not await worker.guard.admits()
    assert worker.alone_s == LOST_CLAIM_S
    worker.now_s += LOST_CLAIM_S
    assert await worker.guard.admits()


async def test_a_claim_that_is_cancelled_leaves_the_trial_free(worker: Worker) -> None:
    worker.fails()
    worker.now_s += 5
    with pytest.raises(IndexError):
        await worker.guard.admits()
    worker.claims = [None]
    assert await worker.guard.admits()


async def test_what_will_not_pass_is_this_workers_own_trouble(worker: Worker) -> None:
    worker.fails(REFUSED, times=1)
    assert worker.alone_s == 60
    assert worker.guard.take_news() is None
    worker.hears("closed", 1)
    assert worker.alone_s == 60, "another worker's key may be right"
    worker.now_s += 60
    assert await worker.guard.admits(), "nobody is asked"
    worker.guard.succeeded(80)
    assert worker.guard.take_news() is None
    worker.hears("open", 5)
    worker.now_s += DOUBTED_S
    worker.hears("open", 5)
    assert worker.alone_s == 5, "and it believes again"
