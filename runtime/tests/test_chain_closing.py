"""A chain of providers: who is begun beside whom, and that nothing is left behind."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from callbot.runtime.attempt import all_closed
from callbot.runtime.chain import Attempt, Link, asked, streamed
from callbot.runtime.errors import ProviderError

from .words_vendor import (
    BROKEN,
    LONG_S,
    SHORT_S,
    Vendor,
    breaker_of,
    heard,
    link,
    speak,
    usually_quick,
)


@pytest.fixture
def waiting_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for the wrong one does not come back."""
    monkeypatch.setattr("callbot.runtime.chain.CLOSE_WITHIN_S", LONG_S)


@pytest.mark.usefixtures("waiting_for_ever")
async def test_the_slow_first_gets_the_second_beside_it_and_is_closed_behind_its_back() -> None:
    a = usually_quick(link("a", "hang", closes_slowly=True))
    b, c = link("b", "from", "b"), link("c", "never")
    told: list[Attempt] = []
    async with asyncio.timeout(10):
        assert await heard([a, b, c], told, hedge=True) == ["from", "b"]
    assert [(o.provider, o.outcome, o.hedged) for o in told] == [
        ("b", "answered", True),
        ("a", "outrun", False),
    ]
    assert c.provider.begun == 0
    await a.provider.is_closing.wait()
    assert a.provider.closed == 0, "the winner has not waited for it"
    a.provider.may_close.set()
    await all_closed()
    assert a.provider.closed == 1


@pytest.mark.usefixtures("waiting_for_ever")
async def test_who_is_too_late_is_closed_without_being_waited_for() -> None:
    a, b = link("a", "hang", deadline_s=SHORT_S, closes_slowly=True), link("b", "from b")
    async with asyncio.timeout(10):
        assert await heard([a, b]) == ["from b"]
        a.provider.may_close.set()
        await all_closed()
    assert a.provider.closed == 1


async def test_who_is_outrun_has_its_slowness_counted_and_its_trial_given_back() -> None:
    a, b = usually_quick(link("a", "hang")), link("b", "from b")
    breaker_of(a).leave_alone(0, 1, "told")
    assert await heard([a, b], hedge=True) == ["from b"]
    assert await a.guard.admits(), "another may try"
    for _ in range(4):
        a.guard.abandoned()
        assert await heard([a, b], hedge=True) == ["from b"]
    assert (a.guard.p95_ms() or 0) > 1


async def test_a_very_quick_provider_is_not_hedged_at_its_slightest_delay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("callbot.runtime.chain.LEAST_HEDGE_MS", LONG_S * 1000)
    told: list[Attempt] = []
    a = usually_quick(link("a", "hang", deadline_s=0.2))
    assert await heard([a, link("b", "from b")], told, hedge=True) == ["from b"]
    assert [(o.outcome, o.hedged) for o in told] == [("failed", False), ("answered", False)]


async def test_the_first_may_still_win() -> None:
    go = asyncio.Event()
    a, b = usually_quick(link("a", go, "from a")), link("b", "hang")

    def told(attempt: Attempt) -> None:
        outcomes.append((attempt.provider, attempt.outcome))

    outcomes: list[tuple[str, str]] = []
    reading = asyncio.create_task(anext(words := streamed([a, b], speak, hedge=True, told=told)))
    while not b.provider.begun:
        await asyncio.sleep(0.01)
    go.set()
    assert await reading == "from a"
    await words.aclose()
    await all_closed()
    assert outcomes == [("a", "answered"), ("b", "outrun")]
    assert (a.provider.closed, b.provider.closed) == (1, 1)


@pytest.mark.parametrize("b_script", [[BROKEN], []], ids=["fails", "has nothing"])
async def test_when_the_one_beside_fails_the_next_is_begun_beside(b_script: list[Any]) -> None:
    a, b, c = usually_quick(link("a", "hang")), link("b", *b_script), link("c", "from c")
    assert await heard([a, b, c], hedge=True) == ["from c"]
    await all_closed()
    assert [one.provider.closed for one in (a, b, c)] == [1, 1, 1]


async def test_without_enough_experience_or_without_hedging_nobody_is_begun_beside() -> None:
    for hedge, a in (
        (True, link("a", "hang", deadline_s=0.3)),
        (False, usually_quick(link("a", "hang", deadline_s=0.3))),
    ):
        told: list[Attempt] = []
        assert await heard([a, link("b", "from b")], told, hedge=hedge) == ["from b"]
        assert [(o.outcome, o.hedged) for o in told] == [("failed", False), ("answered", False)]


@pytest.mark.parametrize("slowly", [False, True])
@pytest.mark.parametrize("words_before", [0, 1])
async def test_aclose_and_cancellation_close_all_that_was_begun(
    words_before: int, slowly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callbot.runtime.chain.CLOSE_WITHIN_S", 0.05)
    for by_cancellation in (False, True):
        a = link("a", *["word"] * words_before, "hang", closes_slowly=slowly)
        got = asyncio.Event()

        async def read(a: Link[Vendor] = a, got: asyncio.Event = got) -> None:
            async with aclosing(streamed([a], speak)) as words:
                for _ in range(words_before):
                    await anext(words)
                got.set()
                await anext(words)

        async def close_early(a: Link[Vendor] = a, got: asyncio.Event = got) -> None:
            async with aclosing(streamed([a], speak)) as words:
                for _ in range(words_before):
                    await anext(words)
                got.set()

        reading = asyncio.create_task(read() if by_cancellation else close_early())
        await got.wait()
        if by_cancellation:
            while not a.provider.begun:
                await asyncio.sleep(0)
            reading.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(reading, return_exceptions=True)
            a.provider.may_close.set()
            await all_closed()
        assert a.provider.closed == a.provider.begun
        assert breaker_of(a).state == "closed"


async def test_a_provider_that_will_not_stop_is_stopped() -> None:
    """It takes its cancellation for an error, and goes on."""

    async def stubborn(_: Link[Vendor]) -> AsyncGenerator[str, None]:
        while True:
            try:
                yield "word"
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                continue

    async with asyncio.timeout(10):
        async with aclosing(streamed([link("a")], stubborn)) as words:
            assert await anext(words) == "word"
        await all_closed()


async def test_a_closing_that_fails_is_nobody_elses_trouble() -> None:
    async def failing(one: Link[Vendor]) -> AsyncGenerator[str, None]:
        try:
            for _ in range(100):
                yield "word"
        finally:
            one.provider.closed += 1
            raise ConnectionResetError

    a = link("a")
    async with asyncio.timeout(10):
        async with aclosing(streamed([a], failing)) as words:
            assert await anext(words) == "word"
            for _ in range(20):
                await asyncio.sleep(0)
        await all_closed()
    assert a.provider.closed == 1


async def test_a_generator_is_closed_by_the_task_that_has_opened_it() -> None:
    """Deadlines, task groups and aiohttp's timers demand it."""
    tasks: list[asyncio.Task[Any] | None] = []

    async def begin(_: Link[Vendor]) -> AsyncGenerator[str, None]:
        async with asyncio.timeout(LONG_S), asyncio.TaskGroup():
            tasks.append(asyncio.current_task())
            try:
                yield "one"
                yield "two"
            finally:
                tasks.append(asyncio.current_task())

    async with aclosing(streamed([link("a")], begin)) as words:
        await anext(words)
    assert tasks[0] is tasks[1] is not asyncio.current_task()


async def ask(one: Link[Vendor]) -> str:
    async with aclosing(one.provider.speak()) as words:
        return await anext(words)


async def test_one_result() -> None:
    told: list[Attempt] = []
    links = [link("a", BROKEN), link("b", "hang", deadline_s=SHORT_S), link("c", "words"), link("d", "never")]
    assert await asked(links, ask, told=told.append) == "words"
    assert [(a.provider, a.outcome) for a in told] == [("a", "failed"), ("b", "failed"), ("c", "answered")]
    await all_closed()
    assert [one.provider.closed for one in links] == [1, 1, 1, 0]
    with pytest.raises(ProviderError, match="all_failed"):
        await asked(links[:2], ask)
    with pytest.raises(ProviderError, match="no_provider"):
        await asked([], ask)

    async def nothing(_: Link[Vendor]) -> None:
        return None

    assert await asked(links, nothing) is None  # type: ignore[func-returns-value]


async def test_one_result_hedged_does_not_wait_for_who_was_outrun() -> None:
    a, b = usually_quick(link("a", "hang", closes_slowly=True)), link("b", "words")
    async with asyncio.timeout(10):
        assert await asked([a, b], ask, hedge=True) == "words"
    a.provider.may_close.set()
    await all_closed()
    assert a.provider.closed == 1


async def test_one_result_that_nobody_wants_any_more() -> None:
    a = link("a", "hang")
    asking = asyncio.create_task(asked([a], ask))
    while not a.provider.begun:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert a.provider.closed == 1
