"""Text as audio: it survives at any offset, between noise and silence, several in order."""

from hypothesis import given
from hypothesis import strategies as st

from callbot.schemas.audio import BYTES_PER_MS
from callbot.schemas.text_audio import MARKER, audible, texts_in

TEXT = st.text(max_size=60)
SILENCE = st.integers(0, 500).map(lambda n: b"\xff" * n)
NOISE = st.binary(max_size=200).filter(lambda b: MARKER not in b)
GAP = SILENCE | NOISE | st.builds(bytes.__add__, NOISE, SILENCE)


@given(st.lists(st.tuples(GAP, TEXT), max_size=4), GAP)
def test_texts_come_out_in_order_whatever_lies_between(said: list[tuple[bytes, str]], rest: bytes) -> None:
    audio = b"".join(gap + audible(text, 2) for gap, text in said) + rest
    assert list(texts_in(audio)) == [text for _, text in said]


@given(TEXT, st.integers(0, 80))
def test_it_lasts_as_long_as_speaking_would(text: str, ms: int) -> None:
    assert len(audible(text, ms)) >= len(text) * ms * BYTES_PER_MS


@given(TEXT, st.integers(0, 10_000), TEXT)
def test_a_damaged_text_is_passed_over(broken: str, at: int, whole: str) -> None:
    framed = audible(broken, 0)
    at %= len(framed)
    damaged = framed[:at] + bytes((framed[at] ^ 0x40,)) + framed[at + 1 :]
    assert list(texts_in(damaged + audible(whole, 0))) == [whole]


@given(TEXT, st.integers(1, 30))
def test_a_cut_text_does_not_hide_the_next(text: str, missing: int) -> None:
    assert list(texts_in(audible(text, 0)[:-missing] + audible("next", 0))) == ["next"]


@given(st.binary(max_size=600))
def test_any_bytes_can_be_searched(audio: bytes) -> None:
    assert all(isinstance(text, str) for text in texts_in(audio))


def test_a_long_text_survives() -> None:
    text = "äöü " * 5000
    assert list(texts_in(audible(text, 0))) == [text]
