"""How the demo judges what was understood."""

import pytest

from callbot.studio.demo import word_error_rate


@pytest.mark.parametrize(
    ("heard", "rate"),
    [
        ("A table for 4, at seven!", 0.0),
        ("a table four at seven", 1 / 6),
        ("a big table for four at eleven", 2 / 6),
        ("", 1.0),
    ],
)
def test_word_error_rate(heard: str, rate: float) -> None:
    assert word_error_rate("A table for four at 7", heard) == pytest.approx(rate)


def test_contractions_are_no_errors() -> None:
    assert word_error_rate("No that is all, I'd like", "No, that's all. I would like") == 0.0
