"""Keys and what they seal: opened by the right key for the right purpose only."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.runtime.keyring import KeyRing, new_key
from callbot.runtime.sealing import CannotOpen, Sealing, webhook_secret_of

NEW, OLD = (bytes([n]) * 32 for n in (1, 2))
BOTH = Sealing(KeyRing({"new": NEW, "old": OLD}))
ONLY_OLD = Sealing(KeyRing({"old": OLD}))
PURPOSE = webhook_secret_of("bot_1")
SECRET = "the-secret-of-a-webhook"
SEALED = BOTH.seal(SECRET, PURPOSE)


def encoded(byte: int, size: int = 32) -> str:
    return base64.b64encode(bytes([byte]) * size).decode()


@given(st.text(), st.text())
def test_what_was_sealed_opens_again(secret: str, purpose: str) -> None:
    sealed = BOTH.seal(secret, purpose)
    assert BOTH.open(sealed, purpose) == secret
    assert sealed.isascii() and sealed.startswith("new.")


def test_the_same_secret_looks_different_each_time() -> None:
    assert BOTH.seal(SECRET, PURPOSE) != SEALED
    assert SECRET not in SEALED


def test_it_opens_for_its_own_purpose_only() -> None:
    for other in (webhook_secret_of("bot_2"), "", f"{PURPOSE} "):
        with pytest.raises(CannotOpen):
            BOTH.open(SEALED, other)


def test_a_key_with_the_same_name_is_not_the_same_key() -> None:
    with pytest.raises(CannotOpen):
        Sealing(KeyRing({"new": OLD})).open(SEALED, PURPOSE)


def test_a_key_that_was_removed_opens_nothing_and_is_named() -> None:
    with pytest.raises(CannotOpen, match="no key 'new'"):
        ONLY_OLD.open(SEALED, PURPOSE)


def test_the_key_s_name_cannot_be_exchanged() -> None:
    """Two names for one key: still the name that was sealed is the only one that opens."""
    twins = Sealing(KeyRing({"one": NEW, "two": NEW}))
    sealed = twins.seal(SECRET, PURPOSE)
    with pytest.raises(CannotOpen):
        twins.open(sealed.replace("one.", "two.", 1), PURPOSE)


def test_a_rotation_opens_the_old_and_seals_with_the_new() -> None:
    sealed = ONLY_OLD.seal(SECRET, PURPOSE)
    assert ONLY_OLD.is_newest(sealed)
    assert not BOTH.is_newest(sealed)
    again = BOTH.seal(BOTH.open(sealed, PURPOSE), PURPOSE)
    assert BOTH.is_newest(again)
    assert BOTH.open(again, PURPOSE) == SECRET


@given(at=st.integers(0, len(SEALED) - 1), other=st.characters(codec="utf-8"))
def test_what_was_changed_opens_never_as_something_else(at: int, other: str) -> None:
    """The last letters of base64 have spare bits: a change of those alone may open, to the same secret."""
    changed = SEALED[:at] + other + SEALED[at + 1 :]
    try:
        assert BOTH.open(changed, PURPOSE) == SECRET
    except CannotOpen as e:
        assert changed != SEALED
        assert changed not in str(e)


@given(at=st.integers(0, 300), bit=st.integers(0, 7))
def test_one_bit_of_the_ciphertext_is_enough(at: int, bit: int) -> None:
    key_id, nonce, ciphertext = SEALED.split(".")
    raw = bytearray(base64.urlsafe_b64decode(ciphertext + "=" * (-len(ciphertext) % 4)))
    raw[at % len(raw)] ^= 1 << bit
    tampered = base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()
    with pytest.raises(CannotOpen):
        BOTH.open(f"{key_id}.{nonce}.{tampered}", PURPOSE)


@given(st.text() | st.text().map("new.".__add__) | st.text().map("new.AAAAAAAAAAAAAAAA.".__add__))
def test_any_text_is_just_not_sealed(text: str) -> None:
    with pytest.raises(CannotOpen):
        BOTH.open(text, PURPOSE)


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "a",
        "a:",
        "a:!!!",
        f"a:{encoded(1, 31)}",
        f"a b:{encoded(1)}",
        f"{'a' * 17}:{encoded(1)}",
        f"../a:{encoded(1)}",
        f"a:{encoded(1)},a:{encoded(2)}",
        f"a:{encoded(1)},",
    ],
)
def test_keys_that_cannot_be_used_are_refused_without_being_repeated(keys: str) -> None:
    with pytest.raises(ValueError, match="wanted kid:base64") as refused:
        KeyRing.parse(keys)
    assert encoded(1) not in str(refused.value)


def test_a_ring_is_read_in_its_order_and_not_shown() -> None:
    ring = KeyRing.parse(f" b:{encoded(255)} , a:{encoded(2)}")
    assert ring.newest == ("b", b"\xff" * 32)
    assert (ring.get("a"), ring.get("c")) == (b"\x02" * 32, None)
    assert encoded(2) not in repr(ring) and "\\x02" not in repr(ring)


def test_a_new_key_fits_into_a_ring_in_either_base64() -> None:
    entry = new_key("k1")
    ring = KeyRing.parse(entry)
    assert KeyRing.parse(entry.replace("+", "-").replace("/", "_")) == ring
    assert len(ring.newest[1]) == 32
    assert new_key("k1") != entry
