"""One conversation, told event by event; the line and the owner only write down what reaches them."""

import pytest

from callbot.schemas.audio import BotAudio
from callbot.schemas.calls import StageFallback
from callbot.schemas.webhook import Action
from tests.room import PHRASES, Room, answer


def test_greeting_then_a_turn_and_the_history_as_it_was_heard() -> None:
    room = Room().greeted()
    room.talk.open_turn("speech", "Hi", room.now_ms)
    assert room.opened == [1]
    assert room.talk.take(answer(1, "How many people?"))
    room.mouth_says(1)
    room.time_passes(700)
    assert [(h.role, h.content) for h in room.talk.turns.history] == [
        ("bot", "Hello!"),
        ("user", "Hi"),
        ("bot", "How many people?"),
    ]
    assert [r.source for r in room.records] == ["greeting", "webhook"]
    assert room.clears == 0 and room.cancelled == [] and room.ended is None


def test_only_the_first_answer_of_a_turn_counts() -> None:
    room = Room().greeted()
    room.talk.open_turn("speech", "Hi", room.now_ms)
    assert room.talk.take(answer(1, "First."))
    assert not room.talk.take(answer(1, "Second."))
    assert not room.talk.take(answer(0, "Other turn."))


def test_speaking_over_the_bot_clears_and_cuts_the_history() -> None:
    room = Room().greeted()
    room.talk.open_turn("speech", "Hi", room.now_ms)
    room.talk.take(answer(1, "one two three four five six seven eight"))
    room.mouth_says(1, length_ms=2000)
    room.time_passes(1000)
    room.talk.open_turn("speech", "Stop", room.now_ms)
    assert room.clears == 1 and room.cancelled == [1]
    assert room.talk.turns.history[-1].content == "one two three four"
    assert room.records[-1].heard == "one two three four"
    assert room.opened == [1, 2]


def test_a_turn_overtaken_while_thinking_keeps_the_callers_words() -> None:
    room = Room().greeted()
    room.talk.open_turn("speech", "A table", room.now_ms)
    room.talk.open_turn("speech", "for four", room.now_ms)
    assert room.cancelled == [1]
    assert not room.talk.take(answer(1))
    assert [h.content for h in room.talk.turns.history if h.role == "user"] == ["A table"]


def test_nothing_to_say_is_an_apology_from_memory() -> None:
    room = Room().greeted()
    room.heard = b""
    room.talk.open_turn("speech", "Hi", room.now_ms)
    room.talk.take(answer(1, "", sentences=[]))
    room.time_passes(5000)
    assert room.heard == PHRASES["apology"].audio
    assert room.records[-1].source == "apology"
    assert StageFallback(stage="mind", reason="nothing to say") in room.facts
    assert room.ended is None


def test_three_failures_in_a_row_end_the_call_after_a_goodbye_and_a_success_resets_the_count() -> None:
    room = Room().greeted()
    for _ in (1, 2):
        room.talk.open_turn("speech", "Hi", room.now_ms)
        room.talk.apologise("mind", "down")
        room.time_passes(5000)
    room.talk.open_turn("speech", "Hi", room.now_ms)
    room.talk.take(answer(3))
    room.mouth_says(3)
    room.time_passes(1000)
    for _ in range(3):
        assert room.ended is None
        room.heard = b""
        room.talk.open_turn("speech", "Hi", room.now_ms)
        room.talk.apologise("mind", "down")
        room.time_passes(6000)
    assert room.heard == PHRASES["goodbye"].audio
    assert room.ended == "failed"


@pytest.mark.parametrize(
    ("action", "ending"), [(Action.HANGUP, "bot_hung_up"), (Action.TRANSFER, "transferred")]
)
def test_the_action_comes_after_the_last_word_was_heard(action: Action, ending: str) -> None:
    room = Room(transfer_to="+15550001111").greeted()
    room.talk.open_turn("speech", "Bye", room.now_ms)
    room.talk.take(answer(1, "Goodbye!", action))
    room.mouth_says(1, length_ms=1000)
    room.time_passes(900)
    assert room.ended is None and room.talk.is_closing
    room.time_passes(700)
    assert room.ended == ending
    assert room.talk.pending[0] is action


def test_a_transfer_without_a_number_goes_on_talking() -> None:
    room = Room().greeted()
    room.talk.open_turn("speech", "Human please", room.now_ms)
    room.talk.take(answer(1, "One moment.", Action.TRANSFER))
    room.mouth_says(1)
    room.time_passes(1000)
    assert room.ended is None
    assert "transfer: no number to transfer to" in room.records[-1].errors


def test_a_greeting_that_nobody_can_speak_comes_from_memory() -> None:
    room = Room()
    room.talk.greet("Hello!")
    room.talk.apologise("mouth", "nobody there")
    room.time_passes(3000)
    assert room.heard == PHRASES["hello"].audio


def test_a_lost_sentence_is_skipped_and_a_lost_answer_is_said_so() -> None:
    room = Room().greeted()
    room.talk.open_turn("speech", "Hi", room.now_ms)
    room.talk.take(answer(1, "One. Two.", sentences=["One.", "Two."]))
    room.heard = b""
    room.talk.sentence_lost(1, 0, "no provider")
    room.mouth_says(1, 1)
    room.time_passes(1000)
    assert room.heard == b"\x10" * 4000
    room.talk.open_turn("speech", "Hi", room.now_ms)
    room.talk.take(answer(2, "One."))
    room.heard = b""
    room.talk.sentence_lost(2, 0, "no provider")
    room.time_passes(5000)
    assert room.heard == PHRASES["apology"].audio


def test_an_apology_in_the_middle_of_an_answer_keeps_what_was_heard() -> None:
    room = Room().greeted()
    room.talk.open_turn("speech", "Hi", room.now_ms)
    room.talk.take(answer(1, "One. Two.", sentences=["One.", "Two."]))
    room.mouth_says(1, 0)
    room.time_passes(600)
    room.talk.apologise("mouth", "no audio in time")
    room.time_passes(5000)
    assert room.records[-1].heard == f"One. {PHRASES['apology'].text}"


@pytest.mark.parametrize(
    ("action", "ending"), [(Action.HANGUP, "bot_hung_up"), (Action.TRANSFER, "transferred")]
)
def test_a_voice_that_fails_does_not_undo_the_action(action: Action, ending: str) -> None:
    room = Room(transfer_to="+15550001111").greeted()
    room.talk.open_turn("speech", "Bye", room.now_ms)
    room.talk.take(answer(1, "Goodbye!", action))
    room.heard = b""
    room.talk.sentence_lost(1, 0, "no provider")
    room.time_passes(4000)
    assert room.heard == PHRASES["one_moment"].audio
    assert room.ended == ending and room.talk.pending[0] is action


def test_noise_asks_again_without_ending_the_call_until_it_never_stops() -> None:
    room = Room().greeted()
    for _ in range(5):
        room.talk.open_turn("speech", "", room.now_ms)
        room.heard = b""
        room.talk.ask_again()
        room.time_passes(5000)
        assert room.heard == PHRASES["not_understood"].audio
        assert room.ended is None
    assert room.opened == []
    room.talk.open_turn("speech", "", room.now_ms)
    room.talk.ask_again()
    room.time_passes(6000)
    assert room.ended == "failed"


def test_an_answer_without_any_sound_is_an_apology() -> None:
    room = Room().greeted()
    room.talk.open_turn("speech", "Hi", room.now_ms)
    room.talk.take(answer(1, "Hm."))
    room.heard = b""
    room.talk.bot_audio(BotAudio(1, 1, 0, 0, b"", 0))
    room.time_passes(5000)
    assert room.heard == PHRASES["apology"].audio


def test_nothing_interrupts_the_goodbye() -> None:
    room = Room().greeted()
    room.talk.say_last("too_long", "too_long", "call", "longest time")
    room.talk.apologise("ears", "gone")
    room.talk.say_last("goodbye", "failed", "ears", "gone")
    room.time_passes(6000)
    assert room.ended == "too_long"
