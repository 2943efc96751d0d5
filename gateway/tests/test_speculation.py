"""Turns foreseen, withdrawn, opened."""

from callbot.gateway.speculation import Foreseen, Speculation
from callbot.gateway.turns import HISTORY_ENTRIES, Turns
from tests.samples import CALL_ID


def test_the_same_words_are_told_once_and_others_again() -> None:
    speculation = Speculation()
    assert speculation.foresee(Foreseen(10, 3, "A table", 120))
    assert not speculation.foresee(Foreseen(10, 3, "A table", 300))
    assert speculation.foresee(Foreseen(10, 3, "A table for four", 110))
    assert not speculation.foresee(Foreseen(10, 3, "", 110))


def test_what_is_withdrawn_may_be_foreseen_again() -> None:
    speculation = Speculation()
    speculation.foresee(Foreseen(10, 3, "A table", 120))
    assert speculation.resumed(99) is None
    assert speculation.resumed(10) == 3
    assert speculation.resumed(10) is None
    assert speculation.foresee(Foreseen(10, 3, "A table", 130))


def test_an_opened_turn_knows_when_thinking_began_for_it_and_withdraws_another() -> None:
    speculation = Speculation()
    assert speculation.opened(3) == (None, None)
    speculation.foresee(Foreseen(10, 3, "A table", 120))
    assert speculation.opened(3) == (120, None)
    speculation.foresee(Foreseen(10, 4, "A table", 120))
    assert speculation.opened(5) == (None, 4)
    assert speculation.opened(5) == (None, None)


def test_the_history_of_a_foreseen_turn_is_as_it_would_be() -> None:
    turns = Turns(CALL_ID)
    for number in range(HISTORY_ENTRIES):
        turns.open("speech", f"said {number}", 0)
        turns.close("")
    turns.open("speech", "Hi", 0)
    foreseen = turns.foresee(7, "A table", "How many")
    assert (foreseen.epoch, foreseen.number, foreseen.user_text) == (7, HISTORY_ENTRIES + 1, "A table")
    before = list(turns.history)
    turns.close("How many")
    assert foreseen.history == turns.history != before
    assert len(foreseen.history) == HISTORY_ENTRIES
