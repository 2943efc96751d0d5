"""A chain of providers: who is heard, and what is silent."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbot.runtime.attempt import AHEAD, all_closed
from callbot.runtime.chain import Attempt, Link, streamed
from callbot.runtime.errors import ProviderError

from .words_vendor import (
    BROKEN,
    LONG_S,
    REFUSED,
    SHORT_S,
    Vendor,
    breaker_of,
    heard,
    link,
    opened,
    speak,
)


async def test_the_first_that_answers_is_heard_whole_and_the_others_are_not_begun() -> None:
    links = [link("a", "one", "two", "three"), link("b", "never")]
    told: list[Attempt] = []
    assert await heard(links, told) == ["one", "two", "three"]
    assert [(a.provider, a.outcome, a.hedged) for a in told] == [("a", "answered", False)]
    assert told[0].first_ms is not None
    assert [one.provider.begun for one in links] == [1, 0]
    assert links[0].provider.closed == 1


@pytest.mark.parametrize(
    ("script", "deadline_s", "code"),
    [
        ([BROKEN], LONG_S, "unavailable"),
        ([REFUSED], LONG_S, "unauthorized"),
        (["hang"], SHORT_S, "too_slow"),
        ([KeyError("a secret")], LONG_S, "crashed"),
        ([asyncio.CancelledError()], LONG_S, "crashed"),
        ([], LONG_S, "nothing_came"),
    ],
    ids=lambda v: str(v),
)
async def test_nothing_is_heard_of_a_switch(
    script: list[Any], deadline_s: float, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    links = [link("a", *script, deadline_s=deadline_s), link("b", "hello")]
    told: list[Attempt] = []
    assert await heard(links, told) == ["hello"]
    assert [(a.provider, a.outcome, a.error_code) for a in told] == [
        ("a", "failed", code),
        ("b", "answered", ""),
    ]
    await all_closed()
    assert links[0].provider.closed == 1
    assert "a secret" not in caplog.text


async def test_what_breaks_after_the_first_result_is_raised_and_counted() -> None:
    links = [link("a", "one", BROKEN), link("b", "never")]
    told: list[Attempt] = []
    words = []
    with pytest.raises(ProviderError) as raised:
        async for word in streamed(links, speak, told=told.append):
            words.append(word)
    assert (words, raised.value.code, raised.value.__cause__) == (["one"], "broken_off", BROKEN)
    assert [(a.outcome, a.error_code) for a in told] == [("answered", ""), ("broken_off", "unavailable")]
    for _ in range(2):
        with pytest.raises(ProviderError):
            await heard(links[:1])
    assert breaker_of(links[0]).state == "open"


async def test_what_stands_still_after_the_first_result_is_broken_off() -> None:
    a = link("a", "one", "hang", stall_s=SHORT_S)
    told: list[Attempt] = []
    with pytest.raises(ProviderError, match="a: stalled"):
        await heard([a], told)
    assert [a.outcome for a in told] == ["answered", "broken_off"]
    assert a.provider.closed == 1


async def test_a_reader_that_is_slow_is_no_stall() -> None:
    a = link("a", *map(str, range(10)), stall_s=SHORT_S)
    words = []
    async for word in streamed([a], speak):
        await asyncio.sleep(2 * SHORT_S)
        words.append(word)
    assert words == list(map(str, range(10)))


async def test_a_provider_is_only_a_little_ahead_of_its_reader() -> None:
    said = 0

    async def endless(_: Link[Vendor]) -> AsyncGenerator[int, None]:
        nonlocal said
        while True:
            said += 1
            yield said

    async with aclosing(streamed([link("a")], endless)) as words:
        assert await anext(words) == 1
        for _ in range(20):
            await asyncio.sleep(0)
        assert said <= AHEAD + 2


async def test_when_all_fail_each_is_named() -> None:
    with pytest.raises(ProviderError, match="a: unavailable; b: unauthorized") as raised:
        await heard([link("a", BROKEN), link("b", REFUSED)])
    assert (raised.value.code, raised.value.retryable) == ("all_failed", True)
    with pytest.raises(ProviderError) as own:
        await heard([link("a", REFUSED)])
    assert own.value is REFUSED
    with pytest.raises(ProviderError, match="no_provider"):
        await heard([])
    assert await heard([link("a"), link("b")]) == [], "nothing to say is no error"


async def test_who_is_left_alone_is_skipped_until_nobody_else_answers() -> None:
    a, b = opened(link("a", "from a")), link("b", "from b")
    told: list[Attempt] = []
    assert await heard([a, b], told) == ["from b"]
    assert [(one.provider, one.outcome) for one in told] == [("a", "skipped"), ("b", "answered")]
    assert await heard([opened(link("c", "from c")), opened(link("d", "from d"))]) == ["from d"]
    broken = link("b", BROKEN)
    assert await heard([opened(a), broken]) == ["from a"]
    assert breaker_of(a).state == "closed", "and it has proved itself"


async def test_who_is_abandoned_on_trial_is_tried_again() -> None:
    a = link("a", "hang")
    breaker_of(a).failed(0, REFUSED)
    words = streamed([a], speak)
    reading = asyncio.ensure_future(anext(words))
    while not a.provider.begun:
        await asyncio.sleep(0)
    assert breaker_of(a).state == "half_open"
    assert not await a.guard.admits()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert a.provider.closed == 1
    assert await a.guard.admits()


SCRIPTS = {
    "answers": ["x", "y"],
    "breaks": ["x", BROKEN],
    "fails": [BROKEN],
    "refused": [REFUSED],
    "empty": [],
    "hangs": ["hang"],
}
DAYS = st.lists(st.tuples(st.sampled_from(sorted(SCRIPTS)), st.booleans()), min_size=1, max_size=5)


def expected(days: list[tuple[str, bool]]) -> str:
    """Which kind of day is heard in the end; empty: none."""
    for day, is_open in days:
        if not is_open and day in ("answers", "breaks"):
            return day
    last_open = next((day for day, is_open in reversed(days) if is_open), "")
    return last_open if last_open in ("answers", "breaks") else ""


@settings(max_examples=80, deadline=None)
@given(DAYS, st.booleans())
def test_whatever_day_each_has(days: list[tuple[str, bool]], hedge: bool) -> None:
    async def call() -> None:
        links = []
        for number, (day, is_open) in enumerate(days):
            deadline_s = SHORT_S if day == "hangs" else LONG_S
            one = link(f"p{number}", *SCRIPTS[day], deadline_s=deadline_s)
            links.append(opened(one) if is_open else one)
        told: list[Attempt] = []
        words, code = [], ""
        try:
            async for word in streamed(links, speak, hedge=hedge, told=told.append):
                words.append(word)
        except ProviderError as e:
            code = e.code
        kind = expected(days)
        assert words == [w for w in SCRIPTS.get(kind, []) if isinstance(w, str)]
        assert (code == "broken_off") == (kind == "breaks")
        outcomes = [a.outcome for a in told]
        assert outcomes.count("answered") == bool(kind)
        await all_closed()
        begun = [one for one in links if one.provider.begun]
        assert all(one.provider.begun == one.provider.closed == 1 for one in begun)
        ends = [a for a in told if a.outcome in ("answered", "failed", "outrun")]
        assert sorted(a.provider for a in ends) == sorted(one.name for one in begun), "each is told once"
        assert all(breaker_of(one).state != "half_open" for one in links), "no trial is left open"
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(call())
