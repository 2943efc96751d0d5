"""Sentences: a table of what is hard to cut, and what must hold for any text and any pieces of it."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callbot.dialog_worker.sentences import MAX_CHARACTERS, SentenceCutter, cut

CUTS = {
    "plain": "Hello. |How are you? |I am fine!",
    "title": "Dr. Miller is in. |Ask Mrs. Brown.",
    "example": "Bring something, e.g. Wine or cake, i.e. a gift. |Thanks.",
    "time of day": "We open at 7 a.m. and close at 9 p.m. every day.",
    "time of day at the end": "We close at 9 p.m. |Shall I book?",
    "decimals": "That is $4.50. |Or 7.30 in the evening. |Fine?",
    "initials": "J. R. R. Tolkien wrote it. |J.R.R. Tolkien did.",
    "capital I ends": "So do I. |Good.",
    "url": "See www.example.com/a.b?c=d.e for more. |Or https://example.com. |Bye.",
    "mail": "Write to anna.m@example.co.uk today. |Bye.",
    "ellipsis goes on": "Well... let me see.",
    "ellipsis ends": "Well… |Let me see.",
    "dots apart": "Well . . . |Let me see.",
    "quote": 'She said "Stop." |Then she left.',
    "quote goes on": '"Are you sure?" he asked. |"Yes!" she said.',
    "bracket": "(It is closed.) |Come tomorrow.",
    "both marks": "What?! |Really?!? |Yes.",
    "lower case after question": "really? |yes i am",
    "number": "Take bus no. 5 to Main St. No. 7 is ours.",
    "no": "No. |We do not.",
    "list": "Choose:\n|1. Pizza\n|2. Pasta\n|3. Soup.",
    "list number on its own line": "1.\nPizza. |Or pasta.",
    "lines": "First line\n|second line\n\n|third",
    "chinese": "你好。|你要订位吗？|几位！",
    "japanese quote": "「はい。」|ありがとう。",
    "hindi": "नमस्ते। |आप कैसे हैं? |ठीक।",
    "arabic": "مرحبا؟ |نعم.",
    "spanish": "¿Cuántas personas? |¡Perfecto!",
    "only marks first": "... Hello. |You there?",
    "number as an answer": "How many? |7. Right?",
    "company": "I work at Foo Inc. |Call me.",
}


@pytest.mark.parametrize("text", CUTS.values(), ids=CUTS.keys())
def test_cuts_where_a_sentence_ends(text: str) -> None:
    wanted = [" ".join(sentence.split()) for sentence in text.split("|")]
    assert cut(text.replace("|", "")) == wanted


MARKUP = [
    ("**Great!** Let's *go*.", ["Great!", "Let's go."]),
    ("# Menu\n- **Pizza**: $5\n* Pasta\n• Soup", ["Menu", "Pizza: $5", "Pasta", "Soup"]),
    ("Use `make` or [our page](https://a.example/b).", ["Use make or our page."]),
    ("Two * three is six.", ["Two * three is six."]),
    ("Write to my_name@x.com, _please_.", ["Write to my_name@x.com, please."]),
    ("Booked! 🎉🎉 See you 👍🏽 soon 👩‍👩‍👧.", ["Booked!", "See you soon."]),
    ("😀", []),
    ("...", []),
    ("", []),
    (" \n ", []),
    ("A\x00b\u200bc.", ["Abc."]),
]


@pytest.mark.parametrize(("text", "wanted"), MARKUP)
def test_markup_and_emoji_are_not_spoken(text: str, wanted: list[str]) -> None:
    assert cut(text) == wanted


def test_a_sentence_is_given_as_soon_as_the_next_word_begins() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Hello there.") == []
    assert cutter.feed(" ") == []
    assert cutter.feed("H") == ["Hello there."]
    assert cutter.feed("ow are you?") == []
    assert cutter.finish() == ["How are you?"]


def test_a_long_sentence_is_cut_at_a_comma_or_a_space() -> None:
    with_comma = "word " * 30 + "word, " + "word " * 40
    first, *_ = cut(with_comma)
    assert first.endswith("word,")
    assert [len(s) for s in cut("x" * 600)] == [250, 250, 100]
    assert all(s.endswith("word") for s in cut("word " * 100))


words = st.lists(
    st.text("abcXYZéß你9", min_size=1, max_size=9).flatmap(
        lambda w: st.sampled_from(
            ["", "", "", "", ".", "!", "?", "...", ",", '."', ")", ".50", "?!", "。", ":"]
        ).map(lambda mark: w + mark)
    ),
    max_size=80,
).map(" ".join)


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    at = sorted({0, len(text), *(c % (len(text) + 1) for c in cuts)})
    return [text[a:b] for a, b in pairwise(at)]


def streamed(pieces: list[str]) -> list[str]:
    cutter = SentenceCutter()
    return [s for piece in pieces for s in cutter.feed(piece)] + cutter.finish()


@settings(deadline=None)
@given(words)
def test_plain_text_loses_nothing_but_space(text: str) -> None:
    assert "".join("".join(cut(text)).split()) == "".join(text.split())


anything = st.one_of(words, st.text(), st.text(" \n.!?a1A*_`😀\"'-#。[]()", max_size=600))


@settings(deadline=None)
@given(anything, st.lists(st.integers(0, 10_000), max_size=30))
def test_pieces_do_not_matter(text: str, cuts: list[int]) -> None:
    assert streamed(pieces_of(text, cuts)) == cut(text)
    assert streamed(list(text)) == cut(text)


@settings(deadline=None)
@given(anything)
@example("x" * 245 + "." * 20 + " Next.")
@example("x" * 249 + '?"' + " Next.")
def test_every_sentence_can_be_said(text: str) -> None:
    for sentence in cut(text):
        assert 0 < len(sentence) <= MAX_CHARACTERS
        assert any(c.isalnum() for c in sentence)
        assert "\n" not in sentence
