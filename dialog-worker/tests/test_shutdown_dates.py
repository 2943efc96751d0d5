"""Models whose end is known."""

from datetime import date

import pytest

from callbot.dialog_worker.shutdown_dates import shut_on


@pytest.mark.parametrize(
    ("model", "day"),
    [
        ("gpt-4o-mini", date(2027, 1, 14)),
        ("gpt-4o-2024-08-06", date(2027, 1, 14)),
        ("gpt-4-0613", date(2026, 10, 23)),
        ("gpt-5", date(2026, 12, 11)),
        ("gpt-5.4-mini", None),
        ("gpt-5.4-nano", date(2027, 4, 1)),
        ("llama-3.1-8b", None),
    ],
)
def test_the_day(model: str, day: date | None) -> None:
    assert shut_on(model) == day
