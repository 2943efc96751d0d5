"""The history and its bounds."""

from callbot.gateway.turns import HISTORY_CHARACTERS, HISTORY_ENTRIES, LONGEST_TEXT, Turns
from tests.samples import CALL_ID


def test_the_history_forgets_its_oldest_entries() -> None:
    turns = Turns(CALL_ID)
    for number in range(300):
        turns.open("speech", f"said {number}", 0)
        turns.close(f"heard {number}")
    assert len(turns.history) == HISTORY_ENTRIES
    assert turns.history[-1].content == "heard 299"
    assert turns.next_number == 300


def test_long_words_are_cut_and_the_history_stays_small() -> None:
    turns = Turns(CALL_ID)
    for _ in range(100):
        turns.open("speech", "x" * 50_000, 0)
        turns.close("y" * 3000)
    assert max(len(e.content) for e in turns.history) == LONGEST_TEXT
    assert sum(len(e.content) for e in turns.history) <= HISTORY_CHARACTERS
