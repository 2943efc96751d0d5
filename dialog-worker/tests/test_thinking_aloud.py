"""Thoughts that a server streams as text are not said."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.dialog_worker.providers.thinking_aloud import WithoutThoughts

REPLIES = {
    "Yes. At nine.": "Yes. At nine.",
    "<think>The caller…</think>\n\nYes.": "Yes.",
    " \n<think>\n</think><think>again</think>Yes.": "Yes.",
    "<think>a < b, </thin> c</think>Yes.": "Yes.",
    "<thin air": "<thin air",
    "<b>Yes</b> <think>no</think>": "<b>Yes</b> <think>no</think>",
    "<": "<",
    "": "",
    "<think>and never an end": "",
    "<think></think>": "",
    "  Yes": "Yes",
}


def said(reply: str, cuts: list[int]) -> str:
    spoken = WithoutThoughts()
    bounds = [0, *sorted(cut % (len(reply) + 1) for cut in cuts), len(reply)]
    return "".join(spoken.feed(reply[a:b]) for a, b in pairwise(bounds)) + spoken.end()


@pytest.mark.parametrize("reply", REPLIES)
@given(st.lists(st.integers(0, 100), max_size=12))
def test_wherever_a_reply_is_cut(reply: str, cuts: list[int]) -> None:
    assert said(reply, cuts) == REPLIES[reply]


def test_what_is_no_thought_is_not_held_back() -> None:
    spoken = WithoutThoughts()
    assert [spoken.feed(piece) for piece in ("Y", "es <", "think")] == ["Y", "es <", "think"]
