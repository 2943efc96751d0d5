"""What the model is shown of a conversation."""

from collections.abc import Callable

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


def test_an_unknown_language_is_named_by_its_tag(brief_with: Brief) -> None:
    assert (
        "in tlh,"
        in conversation(brief_with(language="tlh"), [], "nuqneH", history_characters=1000)[0].content
    )


def test_the_oldest_history_goes_first(brief_with: Brief) -> None:
    history = [HistoryEntry(role="user", content=f"word {n}") for n in range(10, 100)]
    messages = conversation(brief_with(), history, "Hi", history_characters=2 * len("word 99") + 3)
    assert messages[1:] == [
        ChatMessage("user", "word 98"),
        ChatMessage("user", "word 99"),
        ChatMessage("user", "Hi"),
    ]


def test_what_has_no_words(brief_with: Brief) -> None:
    unheard = HistoryEntry(role="bot", content=" ")
    messages = conversation(brief_with(), [unheard], " ", history_characters=1000)
    assert messages[1:] == [ChatMessage("user", UNINTELLIGIBLE)]
