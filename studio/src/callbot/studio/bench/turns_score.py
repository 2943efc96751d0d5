"""The figures of `callbot bench turns`."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from callbot.studio.bench.results import Row, machine, percentile

CLEAR_WITHIN_MS = 150
GOES_ON_WITHIN_MS = 400
MAY_BE_LOST_MS = 200


def print_scores(plan: Any, rows: Sequence[Row]) -> int:
    """Exit code 1 when the bot did not go on, late or elsewhere, after a sound that is no turn."""
    print(f"\n{machine()}; {plan}")
    measured = [row for row in rows if "error" not in row]
    _print_ends([row for row in measured if row["kind"] == "end of turn"])
    over = [row for row in measured if row["kind"] == "over the bot"]
    _print_interruptions([row for row in over if row["what"] == "words"])
    failed = _print_no_turns([row for row in over if row["what"] != "words"])
    _print_background([row for row in measured if row["kind"] == "background"])
    for row in rows:
        if "error" in row:
            print(f"NOT MEASURED: {row['kind']}, {row['line']}: {row['error']}")
    late_ms = max((row["emulator_late_ms"] for row in rows), default=0.0)
    print(f"the emulator's own frames were late by {late_ms:.0f} ms (p99)")
    return 1 if failed or len(measured) < len(rows) else 0


def _print_ends(rows: Sequence[Row]) -> None:
    """`delay`: from the last speech to the end of the turn; `ear`: to the first sound of the answer."""
    columns = ("said", "cut off", "lost", "delay p50", "p95", "ear p50", "p95")
    print(f"\n{'end of turn (milliseconds)':32} " + " ".join(f"{name:>9}" for name in columns))
    for what, group in groupby(sorted(rows, key=lambda row: row["what"]), key=lambda row: row["what"]):
        said = list(group)
        cut_off, lost = sum(row["turns"] > 1 for row in said), sum(row["turns"] == 0 for row in said)
        right = [row for row in said if row["turns"] == 1]
        times = [_shares([row[key] for row in right]) for key in ("delay_ms", "ear_ms")]
        print(f"{what:32} {len(said):9} {cut_off:9} {lost:9} {times[0]} {times[1]}")


def _print_interruptions(rows: Sequence[Row]) -> None:
    stopped = [row["stopped_after_ms"] for row in rows if row["stopped_after_ms"] is not None]
    print(
        f"\nwords over the bot: stopped in {len(stopped)} of {len(rows)}; "
        f"first speech frame to clear (p50, p95): {_shares(stopped)} ms; {CLEAR_WITHIN_MS} is the bar"
    )


def _print_no_turns(rows: Sequence[Row]) -> int:
    """How many went wrong."""
    failed = 0
    for what in sorted({row["what"] for row in rows}):
        made = [row for row in rows if row["what"] == what]
        held_up = [row for row in made if row["stopped_after_ms"] is not None]
        on = [row["went_on_after_ms"] for row in held_up if _went_on(row)]
        late = sum(after_ms > GOES_ON_WITHIN_MS for after_ms in on)
        elsewhere = sum(_went_on(row) and abs(row["skipped_ms"]) > MAY_BE_LOST_MS for row in held_up)
        lost = [row["skipped_ms"] for row in held_up if _went_on(row)]
        wrong = len(held_up) - len(on) + late + elsewhere
        failed += wrong
        print(
            f"{what}: {len(made) - wrong} of {len(made)} right; not held up {len(made) - len(held_up)}, "
            f"stopped for good {len(held_up) - len(on)}, later than {GOES_ON_WITHIN_MS} ms {late}; "
            f"spoke on after (p50, p95) {_shares(on)} ms of its end, "
            f"skipped {min(lost, default=0):.0f} to {max(lost, default=0):.0f} ms"
        )
    return failed


def _went_on(row: Row) -> bool:
    return row.get("skipped_ms") is not None


def _print_background(rows: Sequence[Row]) -> None:
    for row in rows:
        each = 10_000 * row["stopped"] / row["listened_ms"]
        print(f"{row['line']}: the bot was held up {each:.1f} times in 10 s of speaking")


def _shares(values: Sequence[float | None]) -> str:
    """The p50 and the p95."""
    known = [value for value in values if value is not None]
    return " ".join(f"{percentile(known, share) if known else float('nan'):9.0f}" for share in (0.5, 0.95))
