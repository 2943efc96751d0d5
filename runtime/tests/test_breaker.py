"""When a provider is left alone: a table, and what holds whatever happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.runtime.breaker import (
    ENOUGH_SAMPLES,
    LONGEST_OPEN_S,
    REQUEST_CODES,
    SAMPLES,
    TRIAL_S,
    Breaker,
    blames_provider,
)
from callbot.runtime.errors import ProviderError

SLOW = ProviderError("too_slow", "", retryable=True)
REFUSED = ProviderError("unauthorized", "", retryable=False)
BUSY = ProviderError("busy", "", retryable=True, retry_after_s=7)
BUSY_FOR_AGES = ProviderError("busy", "", retryable=True, retry_after_s=3600)
UNKNOWN_VOICE = ProviderError("unknown_voice", "", retryable=False)

OPENED = {
    "two that pass": ([SLOW] * 2, None),
    "three that pass": ([SLOW] * 3, 5),
    "one that will not pass": ([REFUSED], 60),
    "one that says for how long": ([BUSY], 7),
    "one that says too long": ([BUSY_FOR_AGES], 60),
    "the request's own fault": ([UNKNOWN_VOICE] * 50, None),
    "the request's own fault between": ([SLOW, UNKNOWN_VOICE, SLOW, UNKNOWN_VOICE], None),
    "what comes after it has opened": ([SLOW] * 30, 5),
}


@pytest.mark.parametrize(("errors", "for_s"), OPENED.values(), ids=OPENED)
def test_for_how_long_it_opens(errors: list[ProviderError], for_s: float | None) -> None:
    breaker = Breaker()
    for error in errors:
        breaker.failed(100, error)
    assert breaker.may_try(100) == (for_s is None)
    if for_s is not None:
        assert (breaker.state, breaker.until, breaker.reason) == ("open", 100 + for_s, errors[0].code)
        assert not breaker.may_try(99.999 + for_s)
        assert breaker.may_try(100 + for_s)


def test_only_the_request_codes_blame_nobody() -> None:
    codes = {*REQUEST_CODES, "unauthorized", "too_slow", "crashed", "quota_exceeded"}
    innocent = {c for c in codes if not blames_provider(ProviderError(c, "", retryable=False))}
    assert innocent == REQUEST_CODES


def test_each_trial_that_fails_doubles_the_time_up_to_a_minute() -> None:
    breaker, now, times = Breaker(), 0.0, []
    for _ in range(3):
        breaker.failed(now, SLOW)
    for _ in range(6):
        times.append(breaker.until - now)
        now = breaker.until
        assert breaker.may_try(now)
        breaker.failed(now, SLOW)
    assert times == [5, 10, 20, 40, 60, 60]
    assert breaker.may_try(breaker.until)
    breaker.succeeded(now, 80)
    for _ in range(3):
        breaker.failed(now, SLOW)
    assert breaker.until == now + 5, "a success forgets"


def test_a_trial_that_is_abandoned_or_never_told_is_given_to_another() -> None:
    breaker = Breaker()
    breaker.failed(0, REFUSED)
    assert [breaker.may_try(60), breaker.may_try(60)] == [True, False]
    breaker.abandoned(60)
    assert [breaker.may_try(60), breaker.may_try(60 + TRIAL_S - 0.001)] == [True, False]
    assert [breaker.may_try(60 + TRIAL_S), breaker.may_try(60 + TRIAL_S)] == [True, False]
    breaker.failed(70, UNKNOWN_VOICE)
    assert breaker.may_try(70), "a trial that told nothing about the provider"


def test_who_always_breaks_off_in_the_middle_is_found_out() -> None:
    """Each attempt has a first result, and not one has them all."""
    breaker, now, times = Breaker(), 0.0, []
    for _ in range(20):
        if not breaker.may_try(now):
            times.append(breaker.until - now)
            now = breaker.until
            assert breaker.may_try(now)
        breaker.succeeded(now, 80)
        breaker.broken_off(now, SLOW)
    assert times[:5] == [5, 10, 20, 40, 60]
    assert breaker.may_try(breaker.until)
    breaker.succeeded(breaker.until, 80)
    breaker.finished()
    for _ in range(2):
        breaker.broken_off(breaker.until, SLOW)
    assert breaker.state == "closed"


def whole(most: float) -> st.SearchStrategy[float]:
    """Sums of such numbers are exact."""
    return st.integers(0, round(most)).map(float)


EVENTS = st.one_of(
    st.tuples(st.just("wait"), whole(90)),
    st.tuples(st.sampled_from(["try", "succeed", "abandon", "finish", "outrun"]), whole(5000)),
    st.tuples(st.sampled_from(["fail", "break"]), st.sampled_from([SLOW, REFUSED, BUSY, UNKNOWN_VOICE])),
    st.tuples(st.sampled_from(["told_open", "told_closed"]), whole(LONGEST_OPEN_S)),
)


def happen(breaker: Breaker, now: float, what: str, how: float | ProviderError) -> None:
    match what, how:
        case "succeed", float(ms):
            breaker.succeeded(now, ms)
        case "outrun", float(ms):
            breaker.outrun(ms)
        case "abandon", _:
            breaker.abandoned(now)
        case "finish", _:
            breaker.finished()
        case "fail", ProviderError() as error:
            breaker.failed(now, error)
        case "break", ProviderError() as error:
            breaker.broken_off(now, error)
        case "told_open", float(for_s):
            breaker.leave_alone(now + for_s, 1, "told")
        case "told_closed", _:
            breaker.close(now)


@given(st.lists(EVENTS, max_size=80))
def test_whatever_happens(events: list[tuple[str, float | ProviderError]]) -> None:
    breaker, now, trial_until = Breaker(), 0.0, 0.0
    for what, how in events:
        if what == "wait" and isinstance(how, float):
            now += how
        elif what == "try":
            before, until = breaker.state, breaker.until
            allowed = breaker.may_try(now)
            assert allowed == (before == "closed" or now >= until)
            if allowed and before != "closed":
                assert now >= trial_until, "one trial at a time"
                assert not breaker.may_try(now)
                trial_until = breaker.until
        else:
            happen(breaker, now, what, how)
            if breaker.state != "half_open":
                trial_until = 0.0
        assert breaker.until - now <= max(LONGEST_OPEN_S, TRIAL_S), "nobody is left alone for longer"
    assert breaker.may_try(max(now, breaker.until))


@given(st.lists(st.sampled_from(["fail", "fail", "succeed"]), max_size=200))
def test_it_opens_at_the_third_failure_in_a_row_and_not_before(story: list[str]) -> None:
    breaker, in_a_row = Breaker(), 0
    for what in story:
        if what == "succeed":
            breaker.succeeded(0, 100)
            in_a_row = 0
        else:
            breaker.failed(0, SLOW)
            in_a_row += 1
        assert (breaker.state == "open") == (in_a_row >= 3)
        if breaker.state == "open":
            return


@given(st.lists(st.integers(1, 4000), max_size=3 * SAMPLES))
def test_the_p95_is_that_of_the_last_hundred(times: list[int]) -> None:
    breaker = Breaker()
    for first_ms in times:
        breaker.succeeded(0, first_ms)
    kept = sorted(times[-SAMPLES:])
    p95_ms = breaker.p95_ms()
    if len(kept) < ENOUGH_SAMPLES:
        assert p95_ms is None
        return
    assert p95_ms in kept
    assert sum(t <= p95_ms for t in kept) >= 0.95 * len(kept)
    assert sum(t < p95_ms for t in kept) < 0.95 * len(kept)


def test_hedging_does_not_make_the_p95_shrink() -> None:
    """Times from 100 to 200 ms. Of the slow ones only those are known that nobody has outrun."""
    breaker = Breaker()
    for n in range(5000):
        p95_ms = breaker.p95_ms()
        true_ms = 100.0 + n * 37 % 101
        if p95_ms is not None and true_ms > p95_ms:
            breaker.outrun(p95_ms + 1)
        else:
            breaker.succeeded(0, true_ms)
    assert 185 <= (breaker.p95_ms() or 0) <= 200
    for _ in range(SAMPLES):
        breaker.outrun(3)
    assert (breaker.p95_ms() or 0) >= 185, "the second one, which has hardly begun, tells nothing"


def test_where_nobody_is_left_alone_every_request_is_a_trial() -> None:
    breaker = Breaker(longest_open_s=0)
    for error in (SLOW, SLOW, SLOW, REFUSED, BUSY_FOR_AGES):
        assert breaker.may_try(100)
        breaker.failed(100, error)
    assert breaker.may_try(100) and not breaker.may_try(100), "one at a time"
