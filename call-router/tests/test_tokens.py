"""Stream tokens: bound to call and bot, short-lived, forgeable by nobody."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.call_router.tokens import CLOCK_SKEW, VALID_FOR, KeyRing

CALL, BOT = "CA" + "0123456789abcdef" * 2, "bot_1"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def encoded(byte: int, size: int = 32) -> str:
    return base64.b64encode(bytes([byte]) * size).decode()


RING = KeyRing.parse(f"new:{encoded(255)},old:{encoded(2)}")
TOKEN = RING.token(CALL, BOT, NOW)


def test_a_token_is_good_for_its_call_and_bot() -> None:
    assert RING.verifies(TOKEN, CALL, BOT, NOW)
    assert not RING.verifies(TOKEN, "CA" + "0" * 32, BOT, NOW)
    assert not RING.verifies(TOKEN, CALL, "bot_2", NOW)


@pytest.mark.parametrize(
    ("age", "good"),
    [
        (timedelta(0), True),
        (VALID_FOR, True),
        (VALID_FOR + timedelta(milliseconds=1), False),
        (-CLOCK_SKEW, True),
        (-CLOCK_SKEW - timedelta(milliseconds=1), False),
    ],
)
def test_a_token_has_its_time(age: timedelta, good: bool) -> None:
    assert RING.verifies(TOKEN, CALL, BOT, NOW + age) is good


def test_the_first_key_signs_and_every_key_verifies() -> None:
    old = KeyRing.parse(f"old:{encoded(2)}")
    assert TOKEN.startswith("new.")
    assert RING.verifies(old.token(CALL, BOT, NOW), CALL, BOT, NOW)
    assert not old.verifies(TOKEN, CALL, BOT, NOW)
    assert not KeyRing.parse(f"new:{encoded(3)}").verifies(TOKEN, CALL, BOT, NOW)


@given(at=st.integers(0, len(TOKEN) - 1), other=st.characters(codec="utf-8"))
def test_one_other_character_makes_it_worthless(at: int, other: str) -> None:
    changed = TOKEN[:at] + other + TOKEN[at + 1 :]
    assert RING.verifies(changed, CALL, BOT, NOW) is (changed == TOKEN)


@given(st.text())
def test_any_text_is_just_not_a_token(text: str) -> None:
    assert not RING.verifies(text, CALL, BOT, NOW)


def test_the_same_arguments_give_the_same_token() -> None:
    assert RING.token(CALL, BOT, NOW) == TOKEN
    assert len(TOKEN) < 100


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "a",
        "a:",
        "a:!!!",
        f"a:{encoded(1, 31)}",
        f"a b:{encoded(1)}",
        f"a:{encoded(1)},a:{encoded(2)}",
        f"a:{encoded(1)},",
    ],
)
def test_keys_that_cannot_be_used_are_refused_without_being_repeated(keys: str) -> None:
    with pytest.raises(ValueError, match="wanted kid:base64") as refused:
        KeyRing.parse(keys)
    assert encoded(1) not in str(refused.value)
    assert encoded(1) not in repr(RING)
