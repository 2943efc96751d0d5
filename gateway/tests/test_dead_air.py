"""When something has to be said although nobody has answered: tables."""

from dataclasses import replace

import pytest

from callbot.gateway.dead_air import Air, DeadAir, Due, Waiting

NOW = 100_000.0
QUIET = Air(
    waiting=None,
    bot_audible_until_ms=NOW - 1000,
    caller_busy=False,
    turn_open=False,
    call_ms=NOW,
    max_call_ms=3_600_000,
)
ASKED = replace(QUIET, turn_open=True, waiting=Waiting(NOW - 1000, NOW - 1300))


@pytest.mark.parametrize(
    ("air", "due"),
    [
        (QUIET, "nothing"),
        (ASKED, "nothing"),
        (replace(ASKED, waiting=Waiting(NOW - 1200, NOW - 1500)), "filler"),
        # The end of the turn was long in doubt: what counts is the caller's last word.
        (replace(ASKED, waiting=Waiting(NOW - 700, NOW - 2300)), "filler"),
        (replace(ASKED, waiting=Waiting(NOW - 300, NOW - 5300)), "nothing"),
        # Once a turn, then again after six seconds.
        (replace(ASKED, waiting=Waiting(NOW - 4000, NOW - 4300, 1)), "nothing"),
        (replace(ASKED, waiting=Waiting(NOW - 9000, NOW, 1), bot_audible_until_ms=NOW - 6000), "filler"),
        (replace(ASKED, waiting=Waiting(NOW - 9000, NOW), bot_audible_until_ms=NOW + 1), "nothing"),
        # The answer sounds, is held up, or has been heard: nobody waits.
        (replace(ASKED, waiting=None), "nothing"),
        # A caller who speaks meanwhile still waits for the last answer.
        (replace(ASKED, waiting=Waiting(NOW - 1200, NOW - 1500), caller_busy=True), "filler"),
        (replace(QUIET, bot_audible_until_ms=NOW - 6999), "nothing"),
        (replace(QUIET, bot_audible_until_ms=NOW - 7000), "still_there"),
        (replace(QUIET, bot_audible_until_ms=NOW - 9000, caller_busy=True), "nothing"),
        (replace(QUIET, bot_audible_until_ms=NOW - 9000, turn_open=True), "nothing"),
        (replace(QUIET, max_call_ms=NOW + 60_000), "ending_soon"),
        (replace(QUIET, max_call_ms=NOW + 60_001), "nothing"),
        (replace(QUIET, max_call_ms=NOW + 9000), "nothing"),
        (replace(QUIET, max_call_ms=NOW + 50_000, caller_busy=True), "nothing"),
        (replace(QUIET, max_call_ms=NOW + 50_000, turn_open=True), "nothing"),
        (replace(QUIET, max_call_ms=119_000), "nothing"),
    ],
)
def test_what_is_due(air: Air, due: Due) -> None:
    assert DeadAir(0).due(air, NOW) == due


def test_a_silent_caller_is_asked_twice_and_then_left() -> None:
    dead_air, said, bot_until_ms = DeadAir(0), [], 1000.0
    for now_ms in range(0, 40_000, 40):
        due = dead_air.due(replace(QUIET, bot_audible_until_ms=bot_until_ms), now_ms)
        if due != "nothing":
            said.append((due, now_ms))
            bot_until_ms = now_ms + 1000
        if due == "silent_goodbye":
            break
    assert [s for s, _ in said] == ["still_there", "still_there", "silent_goodbye"]
    assert [at for _, at in said] == [8000, 16_000, 24_000]


def test_a_caller_who_speaks_is_asked_anew() -> None:
    dead_air = DeadAir(0)
    assert dead_air.due(QUIET, NOW + 10_000) == "still_there"
    dead_air.caller_spoke(NOW + 11_000)
    later = replace(QUIET, bot_audible_until_ms=NOW + 15_000)
    assert dead_air.due(later, NOW + 21_000) == "nothing"
    assert [dead_air.due(later, NOW + 22_000) for _ in range(2)] == ["still_there"] * 2


def test_the_seven_seconds_begin_after_the_callers_last_sound() -> None:
    dead_air = DeadAir(0)
    dead_air.due(replace(QUIET, caller_busy=True), NOW + 4000)
    assert dead_air.due(QUIET, NOW + 10_000) == "nothing"
    assert dead_air.due(QUIET, NOW + 11_000) == "still_there"


def test_the_warning_comes_once() -> None:
    dead_air, late = DeadAir(0), replace(QUIET, max_call_ms=NOW + 50_000)
    assert [dead_air.due(late, NOW) for _ in range(2)] == ["ending_soon", "nothing"]
