"""Stream tokens and signed calls: bound to what they are for, forgeable by nobody."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.call_router.tokens import CLOCK_SKEW, VALID_FOR, CallTokens
from callbot.runtime.keyring import KeyRing

CALL, BOT = "CA" + "0123456789abcdef" * 2, "bot_1"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


NEW, OLD, OTHER = (bytes([n]) * 32 for n in (255, 2, 3))
TOKENS = CallTokens(KeyRing({"new": NEW, "old": OLD}))
ONLY_OLD = CallTokens(KeyRing({"old": OLD}))
OTHERS = CallTokens(KeyRing({"new": OTHER}))
TOKEN = TOKENS.token(CALL, BOT, NOW)
SIGNED = TOKENS.signed_call(CALL)


def test_a_token_is_good_for_its_call_and_bot() -> None:
    assert TOKENS.verifies(TOKEN, CALL, BOT, NOW)
    assert not TOKENS.verifies(TOKEN, "CA" + "0" * 32, BOT, NOW)
    assert not TOKENS.verifies(TOKEN, CALL, "bot_2", NOW)


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
    assert TOKENS.verifies(TOKEN, CALL, BOT, NOW + age) is good


def test_the_first_key_signs_and_every_key_verifies() -> None:
    assert TOKEN.startswith("new.")
    assert TOKENS.verifies(ONLY_OLD.token(CALL, BOT, NOW), CALL, BOT, NOW)
    assert not ONLY_OLD.verifies(TOKEN, CALL, BOT, NOW)
    assert not OTHERS.verifies(TOKEN, CALL, BOT, NOW)


@given(at=st.integers(0, len(TOKEN) - 1), other=st.characters(codec="utf-8"))
def test_one_other_character_makes_it_worthless(at: int, other: str) -> None:
    changed = TOKEN[:at] + other + TOKEN[at + 1 :]
    assert TOKENS.verifies(changed, CALL, BOT, NOW) is (changed == TOKEN)


@given(st.text())
def test_any_text_is_just_not_a_token(text: str) -> None:
    assert not TOKENS.verifies(text, CALL, BOT, NOW)


def test_the_same_arguments_give_the_same_token() -> None:
    assert TOKENS.token(CALL, BOT, NOW) == TOKEN
    assert len(TOKEN) < 100


def test_a_renewed_token_has_another_id() -> None:
    later = TOKENS.token(CALL, BOT, NOW + timedelta(milliseconds=1))
    assert TOKENS.token_id(later) != TOKENS.token_id(TOKEN) == TOKENS.token_id(TOKENS.token(CALL, BOT, NOW))


def test_a_signed_call_names_its_call() -> None:
    assert TOKENS.call_of(SIGNED) == CALL
    assert TOKENS.call_of(ONLY_OLD.signed_call(CALL)) == CALL
    assert ONLY_OLD.call_of(SIGNED) is None
    assert OTHERS.call_of(SIGNED) is None


def test_a_signed_call_is_no_stream_token_and_a_token_no_signed_call() -> None:
    key_id, issued_ms, mac = TOKEN.split(".")
    assert TOKENS.call_of(f"{CALL}.{key_id}.{mac}") is None
    assert not TOKENS.verifies(f"{key_id}.{issued_ms}.{SIGNED.split('.')[2]}", CALL, BOT, NOW)


@given(at=st.integers(0, len(SIGNED) - 1), other=st.characters(codec="utf-8"))
def test_one_other_character_makes_a_signed_call_worthless(at: int, other: str) -> None:
    changed = SIGNED[:at] + other + SIGNED[at + 1 :]
    assert TOKENS.call_of(changed) == (CALL if changed == SIGNED else None)


@given(st.text())
def test_any_text_is_just_no_signed_call(text: str) -> None:
    assert TOKENS.call_of(text) is None
