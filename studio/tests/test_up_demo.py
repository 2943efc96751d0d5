"""How the demo judges what was understood."""

from pathlib import Path

import aiohttp
import pytest

from callbot.studio.demo import UTTERANCES, booking_bot, word_error_rate

ROOT = Path(__file__).parents[2]


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


async def test_the_bot_of_the_demo_checks_signatures(capfd: pytest.CaptureFixture[str]) -> None:
    program = ROOT / "examples" / "webhooks" / "python" / "booking_bot.py"
    async with (
        booking_bot(program, "s3cret-s3cret-s3cret") as url,
        aiohttp.ClientSession() as http,
        http.post(url, json={"user_text": "Hi", "history": []}) as unsigned,
    ):
        assert unsigned.status == 401
    assert "verif" not in capfd.readouterr().err


def test_make_help_says_how_much_is_said() -> None:
    number = ("no", "one", "two", "three", "four", "five")[len(UTTERANCES)]
    assert f"A call of {number} utterances" in (ROOT / "Makefile").read_text()
