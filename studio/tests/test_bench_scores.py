"""Figures of the benches from rows that are known."""

import pytest

from callbot.studio.bench.processes import Moment, Process, print_course, slope_kib_per_minute
from callbot.studio.bench.turns_score import print_scores

COUGH = {"kind": "over the bot", "what": "cough", "line": "quiet", "emulator_late_ms": 3.0}
END = {"kind": "end of turn", "line": "quiet", "emulator_late_ms": 3.0, "ear_ms": 500.0, "delay_ms": 250.0}


def test_a_cut_off_a_lost_turn_and_delays_of_the_right_ones(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {**END, "what": "phone number", "turns": 1},
        {**END, "what": "phone number", "turns": 2, "delay_ms": 9999.0},
        {**END, "what": "phone number", "turns": 0, "delay_ms": None, "ear_ms": None},
    ]
    assert print_scores("plan", rows) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("phone number"))
    assert line.split()[2:] == ["3", "1", "1", "250", "250", "500", "500"]


@pytest.mark.parametrize(
    ("seen", "failed"),
    [
        ({"stopped_after_ms": None}, 0),
        ({"stopped_after_ms": 90, "went_on_after_ms": 300, "skipped_ms": -20}, 0),
        ({"stopped_after_ms": 90, "went_on_after_ms": 500, "skipped_ms": 0}, 1),
        ({"stopped_after_ms": 90, "went_on_after_ms": 300, "skipped_ms": 250}, 1),
        ({"stopped_after_ms": 90}, 1),
        ({"stopped_after_ms": 90, "went_on_after_ms": 300, "skipped_ms": None}, 1),
    ],
)
def test_a_bot_that_does_not_go_on_in_time_and_in_place_fails(
    seen: dict[str, object], failed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert print_scores("plan", [{**COUGH, **seen}]) == failed
    assert f"cough: {1 - failed} of 1 right" in capsys.readouterr().out


def test_what_was_not_measured_fails(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"kind": "background", "line": "music", "error": "the call is over", "emulator_late_ms": 1.0}
    assert print_scores("plan", [row]) == 1
    assert "NOT MEASURED: background, music: the call is over" in capsys.readouterr().out


def test_the_slope_of_memory_is_that_of_the_second_half(capsys: pytest.CaptureFixture[str]) -> None:
    kib = [100, 5000, 9000, 9060, 9120, 9180]
    course = [Moment(60.0 * n, {"gateway-1": Process("gateway-1", k, 1, 2.0)}) for n, k in enumerate(kib)]
    assert slope_kib_per_minute(course, "gateway-1") == pytest.approx(60)
    assert print_course(course) == []
    assert "+60" in capsys.readouterr().out
    late = Moment(400.0, {"gateway-1": Process("gateway-1", 9240, 1, 12.0)})
    assert print_course([*course, late]) == ["gateway-1 was 12.0 ms late (p99 of a minute)"]
