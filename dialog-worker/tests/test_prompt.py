"""What the model is shown of a conversation."""

from collections.abc import Callable
from itertools import takewhile

import pytest

from callbot.dialog_worker.language_model import ChatMessage
from callbot.dialog_worker.prompt import UNINTELLIGIBLE, conversation
from callbot.schemas.calls import CallBrief
from callbot.schemas.webhook import HistoryEntry

BOT = HistoryEntry(role="bot", content="Hello!")
USER = HistoryEntry(role="user", content="A table")
Brief = Callable[..., CallBrief]


def test_the_start_is_the_same_in_every_turn(brief_with: Brief) -> None:
    brief = brief_with(goal="Book a table.", context="We close at nine.", language="de-AT")
    first = conversation(brief, [BOT], "A table", history_characters=1000)
    second = conversation(brief, [BOT, USER, BOT], "For four", history_characters=1000)
    assert second[:3] == first
    system = first[0].content
    assert first[0].role == "system"
    for part in ("Book a table.", "We close at nine.", "German"):
        assert part in system


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("en-GB", "English"),
        ("es-ES", "Spanish"),
        ("fr", "French"),
        ("de-CH", "German"),
        ("pt-BR", "Brazilian Portuguese"),
        ("pt-PT", "European Portuguese"),
        ("pt", "Portuguese"),
        ("hi-IN", "Hindi"),
        ("ja-JP", "Japanese"),
        ("zh-Hant-TW", "Taiwanese Mandarin"),
    ],
)
def test_the_language_of_the_answer_is_named(brief_with: Brief, language: str, name: str) -> None:
    messages = conversation(brief_with(language=language), [], "?", history_characters=1000)
    assert f"Answer in {name}, in one" in messages[0].content


def test_an_unknown_language_is_named_by_its_tag(brief_with: Brief) -> None:
    assert (
        "in tlh,"
        in conversation(brief_with(language="tlh"), [], "nuqneH", history_characters=1000)[0].content
    )


def shared(one: list[ChatMessage], other: list[ChatMessage]) -> list[ChatMessage]:
    return [a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))]


def test_two_calls_of_a_bot_share_all_but_the_callers_words(brief_with: Brief) -> None:
    """Whoever calls, whenever and from where."""
    first = brief_with(call_id="CA" + "1" * 32, from_number="+14155550101", to_number="+14155559901")
    second = brief_with(call_id="CA" + "2" * 32, from_number="+14155550102", to_number="+14155559902")
    one = conversation(first, [BOT], "A table", history_characters=1000)
    other = conversation(second, [BOT], "Your hours?", history_characters=1000)
    assert shared(one, other) == one[:2] == other[:2]


def test_two_turns_of_a_call_share_all_that_was_said_before(brief_with: Brief) -> None:
    """Also in a long call: of each hundred turns only a few begin otherwise than the one before."""
    brief, history, before = brief_with(), [BOT], list[ChatMessage]()
    begun_otherwise = 0
    for number in range(200):
        messages = conversation(brief, history, f"Question {number}", history_characters=1000)
        if before and shared(before, messages) != before:
            begun_otherwise += 1
        assert sum(len(message.content) for message in messages[1:-1]) > 500 - 60 or number < 40
        assert sum(len(message.content) for message in messages[1:-1]) <= 1000
        before = messages
        history = [*history, HistoryEntry(role="user", content=f"Question {number}"), BOT]
    assert begun_otherwise <= 10


@pytest.mark.parametrize(
    ("lengths", "limit", "kept"),
    [
        ([], 10, []),
        ([4, 4], 8, [4, 4]),
        ([4, 4, 1], 8, [1]),
        ([4, 4, 1, 4], 8, [1, 4]),
        ([2, 8], 8, [8]),
        ([2, 9], 8, []),
        ([2, 9, 3], 8, [3]),
        ([1], 0, []),
    ],
)
def test_what_does_not_fit_goes_in_large_steps(
    brief_with: Brief, lengths: list[int], limit: int, kept: list[int]
) -> None:
    history = [HistoryEntry(role="user", content="x" * length) for length in lengths]
    messages = conversation(brief_with(), history, "Hi", history_characters=limit)
    assert [len(message.content) for message in messages[1:-1]] == kept


def test_what_has_no_words(brief_with: Brief) -> None:
    unheard = HistoryEntry(role="bot", content=" ")
    messages = conversation(brief_with(), [unheard], " ", history_characters=1000)
    assert messages[1:] == [ChatMessage("user", UNINTELLIGIBLE)]
