"""Every order of offer, accept, beat, death and late message, as tables: (event, effects)."""

import random

import pytest

from callbot.gateway.seats import (
    ACCEPT_WITHIN_MS,
    CYCLE_EVERY_MS,
    FALLBACK_AFTER_MS,
    LOST_AFTER_MS,
    Drop,
    Effect,
    FallBack,
    Install,
    Offer,
    Seat,
)
from callbot.schemas.seats import EPOCHS_PER_GENERATION, Role

E1 = EPOCHS_PER_GENERATION + 1
E2, E3, E4 = E1 + 1, E1 + 2, E1 + 3


def seat(generation: int = 1) -> Seat:
    return Seat(Role.EARS, generation)


def held(worker: str = "a", at_ms: float = 0.0) -> Seat:
    s = seat()
    s.seek(at_ms)
    assert s.accepted(E1, worker, at_ms) == [Install(E1, worker)]
    return s


def test_first_offer_then_holder() -> None:
    s = seat()
    assert s.seek(0) == [Offer(E1)]
    assert s.epoch == 0
    assert s.accepted(E1, "a", 5) == [Install(E1, "a")]
    assert s.epoch == E1 and s.is_current(E1)


def test_seeking_twice_offers_once() -> None:
    s = seat()
    s.seek(0)
    assert s.seek(1) == []


def test_a_declined_offer_is_followed_by_a_newer_one_after_a_pause() -> None:
    s = seat()
    s.seek(0)
    assert s.declined(E1, 10) == []
    assert s.tick(ACCEPT_WITHIN_MS - 1) == []
    assert s.tick(ACCEPT_WITHIN_MS) == [Offer(E2)]


def test_an_offer_that_ran_out_of_time_is_followed_at_once() -> None:
    s = seat()
    s.seek(0)
    assert s.declined(E1, ACCEPT_WITHIN_MS + 1) == [Offer(E2)]


def test_a_late_accept_of_an_older_offer_is_nothing_where_somebody_newer_has_the_seat() -> None:
    s = seat()
    s.seek(0)
    s.declined(E1, 250)
    assert s.accepted(E2, "quick", 260) == [Install(E2, "quick")]
    assert s.accepted(E1, "slow", 270) == []
    assert s.unreachable(E2, 3000) == [Offer(E3)]
    assert s.accepted(E1, "slow", 3010) == []
    assert s.holder is None


def test_workers_that_are_all_slow_are_taken_all_the_same() -> None:
    s = seat()
    s.seek(0)
    s.declined(E1, 250)
    assert s.accepted(E1, "slow", 260) == [Install(E1, "slow")]
    assert s.tick(600) == []
    assert s.accepted(E2, "slower", 610) == [Install(E2, "slower")]
    assert s.declined(E2, 620) == []


def test_nobody_for_two_seconds_falls_back_once_and_goes_on_asking() -> None:
    s = seat()
    effects: list[tuple[int, Effect]] = [(0, e) for e in s.seek(0)]
    for now in range(0, 6000, 20):
        effects += [(now, e) for e in s.tick(now)]
        if s.offered_epoch is not None:
            effects += [(now, e) for e in s.declined(s.offered_epoch, now)]
    assert [now for now, e in effects if isinstance(e, FallBack)] == [FALLBACK_AFTER_MS]
    late = [e for now, e in effects if isinstance(e, Offer) and now > FALLBACK_AFTER_MS]
    assert 2 <= len(late) <= 5
    epochs = [e.epoch for _, e in effects if isinstance(e, Offer)]
    assert epochs == sorted(set(epochs))


def test_beats_keep_a_holder_and_silence_loses_it() -> None:
    s = held()
    for now in range(0, 3000, 150):
        s.heard_from(now)
        assert s.tick(now) == []
    assert s.tick(2850 + LOST_AFTER_MS) == []
    assert s.tick(2850 + LOST_AFTER_MS + 1) == [Offer(E2)]
    assert not s.is_current(E1)


def test_a_lost_holder_that_speaks_again_is_not_current() -> None:
    s = held()
    s.tick(CYCLE_EVERY_MS + LOST_AFTER_MS)
    assert not s.is_current(E1)
    s.accepted(E2, "b", 3000)
    assert s.is_current(E2) and not s.is_current(E1)
    assert s.unreachable(E1, 3001) == []


def test_unreachable_offers_at_once_but_not_twice_in_two_seconds() -> None:
    s = held(at_ms=0)
    assert s.unreachable(E1, 3000) == [Offer(E2)]
    s.accepted(E2, "b", 3010)
    assert s.unreachable(E2, 3020) == []
    assert s.tick(3000 + CYCLE_EVERY_MS - 1) == []
    assert s.tick(3000 + CYCLE_EVERY_MS) == [
        Offer(E3),
    ]


def test_an_item_that_cost_two_holders_is_dropped() -> None:
    s = held()
    s.item = "turn:3"
    assert s.unreachable(E1, 3000) == [Offer(E2)]
    s.accepted(E2, "b", 3010)
    assert s.unreachable(E2, 6000) == [Drop("turn:3"), Offer(E3)]
    assert s.item is None


def test_a_message_lost_on_the_way_is_no_loss_of_the_item() -> None:
    s = held()
    s.item = "sentence:1:0"
    assert s.unreachable(E1, 3000, blameless=True) == [Offer(E2)]
    s.accepted(E2, "b", 3010)
    assert s.unreachable(E2, 6000) == [Offer(E3)]


def test_a_seat_has_fallen_back_until_somebody_takes_it() -> None:
    s = seat()
    s.seek(0)
    assert not s.has_fallen_back
    s.declined(E1, FALLBACK_AFTER_MS)
    assert s.has_fallen_back
    assert s.offered_epoch is not None
    s.accepted(s.offered_epoch, "a", 5000)
    assert not s.has_fallen_back


def test_different_items_do_not_add_up() -> None:
    s = held()
    s.item = "turn:3"
    s.unreachable(E1, 3000)
    s.accepted(E2, "b", 3010)
    s.item = "turn:4"
    assert s.unreachable(E2, 6000) == [Offer(E3)]


def test_moving_away_from_a_leaving_holder_waits_for_the_boundary_and_keeps_it_until_then() -> None:
    s = held()
    s.heard_from(3000, leaving=True)
    assert s.tick(3001) == []
    assert s.at_boundary(3002) == [Offer(E2)]
    assert s.is_current(E1)
    s.heard_from(3100, leaving=True)
    assert s.accepted(E2, "b", 3110) == [Install(E2, "b")]
    assert s.is_current(E2) and not s.is_current(E1)
    assert s.at_boundary(3200) == []


def test_a_leaving_holder_whom_nobody_replaces_stays_and_nothing_falls_back() -> None:
    s = held()
    s.heard_from(3000, leaving=True)
    s.at_boundary(3000)
    effects: list[Effect] = []
    for now in range(3000, 9000, 50):
        s.heard_from(now, leaving=True)
        if s.offered_epoch is not None:
            effects += s.declined(s.offered_epoch, now)
        effects += s.tick(now)
    assert s.is_current(E1)
    assert not any(isinstance(e, FallBack) for e in effects)


def test_a_link_that_was_down_proves_nothing_against_the_holder() -> None:
    s = held()
    s.link_restored(10_000)
    assert s.tick(10_000 + LOST_AFTER_MS) == []
    assert s.tick(10_000 + LOST_AFTER_MS + 1) == [Offer(E2)]


def test_a_link_that_was_down_while_seeking_offers_anew() -> None:
    s = seat()
    s.seek(0)
    s.link_restored(5000)
    assert s.tick(5000) == [Offer(E2)]
    assert s.accepted(E1, "late", 5001) == [Install(E1, "late")]


def test_a_closed_seat_does_nothing() -> None:
    s = held()
    s.close()
    assert s.tick(99_999) == []
    assert s.unreachable(E1, 5) == []
    assert s.seek(5) == []
    assert not s.is_current(E1)


@pytest.mark.parametrize("generation", [1, 2, 63])
def test_epochs_of_a_generation_are_above_all_earlier_ones_and_fit_16_bits(generation: int) -> None:
    first = generation * EPOCHS_PER_GENERATION + 1
    assert seat(generation).seek(0) == [Offer(first)]
    assert (generation + 1) * EPOCHS_PER_GENERATION <= 65_536


@pytest.mark.parametrize("seed", range(200))
def test_whatever_happens_epochs_only_rise_and_at_most_one_epoch_is_current(seed: int) -> None:
    """Random orders of everything that can happen; the invariants hold after each step."""
    rng = random.Random(seed)
    s = seat()
    now = 0.0
    offers = [e.epoch for e in s.seek(now) if isinstance(e, Offer)]
    for _ in range(300):
        now += rng.choice([1, 20, 150, 400, 900])
        before = s.epoch
        known = offers or [E1]
        step = rng.randrange(7)
        effects: list[Effect] = []
        if step == 0:
            effects = s.accepted(rng.choice(known), rng.choice("abc"), now)
        elif step == 1:
            effects = s.declined(rng.choice(known), now)
        elif step == 2:
            s.heard_from(now, leaving=rng.random() < 0.1)
        elif step == 3:
            effects = s.unreachable(rng.choice(known), now)
        elif step == 4:
            effects = s.at_boundary(now)
        elif step == 5 and rng.random() < 0.2:
            s.link_restored(now)
        effects += s.tick(now)
        fresh = [e.epoch for e in effects if isinstance(e, Offer)]
        assert all(new > max(offers, default=0) for new in fresh)
        offers += fresh
        assert s.epoch == 0 or s.epoch >= before
        assert sum(s.is_current(e) for e in known) <= 1
    if s.holder is None:
        for later in range(100):
            if s.offered_epoch is not None:
                break
            s.tick(now + later * 100)
        assert s.offered_epoch is not None, "an empty seat must go on being offered"
