"""A conversation that sounds of the caller hold up and cut off: barge-in, playout and turns together."""

import pytest

from callbot.gateway.barge_in import VERDICT_WITHIN_MS, BargeIn
from callbot.schemas.audio import BotAudio
from callbot.schemas.speech import SpeechVerdict
from callbot.schemas.webhook import Action
from tests.room import PHRASES, Room, answer

ANSWER = "one two three four five six seven eight nine ten"
SOUND = bytes(range(1, 251)) * 64
"""Two seconds in which no 200 ms are like any other."""


class Call:
    """A bot that says `ANSWER` for two seconds, and a caller who makes sounds."""

    def __init__(self, action: Action = Action.CONTINUE) -> None:
        self.room = Room(transfer_to="+15550001111").greeted()
        self.talk = self.room.talk
        self.barge = BargeIn()
        self.talk.open_turn("speech", "Hi", self.room.now_ms)
        self.talk.take(answer(1, ANSWER, action))
        self.room.heard = b""
        self.talk.bot_audio(BotAudio(1, 1, 0, 0, SOUND))
        self.talk.bot_audio(BotAudio(1, 1, 0, len(SOUND), b"", len(SOUND)))

    def passes(self, ms: int) -> None:
        for _ in range(ms // 20):
            self.room.time_passes(20)
            self.talk.follow(self.barge.progressed(8, self.room.now_ms))
            self.talk.follow(self.barge.tick(self.talk.bot(), self.room.now_ms))

    def confirmed(self) -> None:
        self.talk.follow(self.barge.confirmed(10, self.talk.bot(), self.room.now_ms))

    def judged(self, verdict: SpeechVerdict) -> None:
        self.talk.follow(self.barge.judged(10, verdict, 900, self.talk.bot(), self.room.now_ms))


@pytest.mark.parametrize("verdict", [SpeechVerdict.NOISE, SpeechVerdict.BACKCHANNEL])
@pytest.mark.parametrize("at_ms", [100, 640, 1280])
def test_the_bot_goes_on_from_the_byte_that_was_heard(verdict: SpeechVerdict, at_ms: int) -> None:
    call = Call()
    call.passes(at_ms)
    call.confirmed()
    assert call.room.clears == 1
    call.passes(600)
    assert len(call.room.heard) == at_ms * 8
    call.judged(verdict)
    call.passes(2500)
    assert call.room.heard == SOUND
    record = call.room.records[-1]
    assert (record.heard, record.pauses, record.interrupted) == (ANSWER, 1, False)
    assert call.room.cancelled == []


def test_words_end_the_turn_and_the_history_has_what_was_heard() -> None:
    call = Call()
    call.passes(1000)
    call.confirmed()
    call.passes(300)
    call.judged(SpeechVerdict.SPEECH)
    assert call.talk.turns.current is None and call.room.cancelled == [1]
    assert call.talk.turns.history[-1].content == "one two three four five"
    assert call.room.records[-1].interrupted and call.room.clears == 1
    assert not call.talk.take(answer(1, "Too late."))
    heard = len(call.room.heard)
    call.passes(3000)
    assert len(call.room.heard) == heard


def test_a_sound_without_a_verdict_ends_the_turn_while_it_lasts() -> None:
    call = Call()
    call.passes(1000)
    call.confirmed()
    call.passes(VERDICT_WITHIN_MS)
    assert call.room.cancelled == [1] and call.room.records[-1].interrupted


def test_yeah_at_the_very_end_is_an_answer_and_the_question_counts_as_heard() -> None:
    call = Call()
    call.passes(1800)
    call.confirmed()
    call.judged(SpeechVerdict.BACKCHANNEL)
    assert call.talk.turns.current is None
    assert call.talk.turns.history[-1].content == ANSWER
    assert call.room.cancelled == [] and not call.room.records[-1].errors


@pytest.mark.parametrize(
    ("action", "ending"), [(Action.HANGUP, "bot_hung_up"), (Action.TRANSFER, "transferred")]
)
@pytest.mark.parametrize("verdict", list(SpeechVerdict))
def test_the_last_sentence_is_held_up_and_said_to_its_end(
    action: Action, ending: str, verdict: SpeechVerdict
) -> None:
    call = Call(action)
    call.passes(1900)
    call.confirmed()
    call.passes(500)
    call.judged(verdict)
    call.passes(2500)
    assert call.room.heard == SOUND
    assert call.room.ended == ending and call.talk.pending[0] is action


def test_a_worker_that_dies_in_a_pause_says_its_sentence_again_after_it() -> None:
    call = Call()
    call.talk.playout.sentences[0].total = None
    call.passes(400)
    call.confirmed()
    call.room.heard = b""
    call.talk.bot_audio(BotAudio(2, 1, 0, 0, SOUND))
    call.talk.bot_audio(BotAudio(2, 1, 0, len(SOUND), b"", len(SOUND)))
    call.passes(400)
    assert call.room.heard == b""
    call.judged(SpeechVerdict.NOISE)
    call.passes(2500)
    assert call.room.heard == SOUND


def test_an_answer_that_comes_while_the_caller_makes_a_sound_waits_for_its_end() -> None:
    call = Call()
    call.passes(2500)
    call.talk.open_turn("speech", "And?", call.room.now_ms)
    call.room.heard = b""
    call.confirmed()
    call.talk.take(answer(2))
    call.passes(20)
    call.room.mouth_says(2)
    call.passes(200)
    assert call.room.heard == b"" and call.room.clears == 0
    call.judged(SpeechVerdict.NOISE)
    call.passes(700)
    assert call.room.heard == b"\x10" * 4000


@pytest.mark.parametrize("protected", [True, False])
def test_a_greeting_can_be_protected(protected: bool) -> None:
    room, barge = Room(protect_greeting=protected), BargeIn()
    room.talk.greet("Hello!")
    room.mouth_says(0, length_ms=2000)
    room.time_passes(500)
    room.talk.follow(barge.confirmed(10, room.talk.bot(), room.now_ms))
    assert room.clears == (0 if protected else 1)
    room.talk.stop_for_key()
    assert (room.talk.turns.current is None) is not protected


def test_apologies_and_reminders() -> None:
    """An apology goes on through a cough; the caller may cut a question short."""
    room = Room().greeted()
    room.talk.open_turn("speech", "Hi", room.now_ms)
    room.talk.apologise("mind", "down")
    assert room.talk.bot().doing == "protected"
    room.time_passes(6000)
    room.talk.remind("still_there")
    assert room.talk.bot().doing == "speaking"
    room.time_passes(2000)
    assert room.records[-1].input == "silence" and room.records[-1].heard == PHRASES["still_there"].text
    assert room.opened == [1]


def test_a_key_stops_what_is_said_at_once() -> None:
    call = Call()
    call.passes(500)
    call.talk.stop_for_key()
    assert call.room.clears == 1 and call.room.records[-1].interrupted
    call = Call(Action.HANGUP)
    call.passes(500)
    call.talk.stop_for_key()
    assert call.room.clears == 0


def test_the_filler_is_said_once_to_its_end_and_is_no_part_of_the_answer() -> None:
    room = Room().greeted()
    room.talk.open_turn("speech", "Hi", room.now_ms)
    room.heard = b""
    room.talk.fill()
    assert room.talk.bot().doing == "thinking"
    room.time_passes(200)
    room.talk.take(answer(1, "Fine."))
    room.mouth_says(1)
    assert room.talk.bot().doing == "protected"
    room.time_passes(3000)
    assert room.heard == PHRASES["one_moment"].audio + b"\x10" * 4000
    assert room.records[-1].heard == "Fine." and room.clears == 0


def test_an_apology_lets_the_filler_finish() -> None:
    room = Room().greeted()
    room.talk.open_turn("speech", "Hi", room.now_ms)
    room.heard = b""
    room.talk.fill()
    room.time_passes(200)
    room.talk.apologise("mind", "nobody thinks")
    room.time_passes(6000)
    assert room.heard == PHRASES["one_moment"].audio + PHRASES["apology"].audio
    assert room.records[-1].heard == PHRASES["apology"].text


def test_what_stays_broken_is_handed_to_a_human_once() -> None:
    room = Room(transfer_to="+15550001111")
    room.talk.greet("Hello!")
    room.time_passes(20)
    for _ in range(3):
        room.talk.apologise("mind", "down")
    room.time_passes(6000)
    assert room.ended == "transferred" and room.talk.pending == (Action.TRANSFER, "+15550001111")
    room = Room(transfer_to="+15550001111")
    room.talk.greet_after_transfer()
    room.time_passes(500)
    assert room.heard == PHRASES["nobody_answers"].audio[:4000]
    room.talk.give_up("mind", "down")
    room.time_passes(9000)
    assert room.ended == "failed" and room.talk.pending[0] is Action.CONTINUE


def test_a_caller_who_stays_silent_is_left_with_a_goodbye() -> None:
    room = Room().greeted()
    room.heard = b""
    room.talk.leave_silent_caller()
    assert room.talk.bot().doing == "protected" and room.talk.is_closing
    room.time_passes(4000)
    assert room.heard == PHRASES["silent_goodbye"].audio and room.ended == "bot_hung_up"
    assert room.records[-1].input == "silence"


def test_a_greeting_in_memory_is_played_without_a_mouth() -> None:
    room = Room()
    room.remembers("Hello!", b"\x22" * 4000)
    room.talk.greet("Hello!")
    room.time_passes(700)
    assert room.heard == b"\x22" * 4000 and room.waiting == 0
    assert (room.records[0].source, room.records[0].heard, room.records[0].prepared) == (
        "greeting",
        "Hello!",
        True,
    )


def test_a_notice_before_the_greeting_and_only_what_is_missing_is_asked_for() -> None:
    room = Room()
    room.remembers("This call is recorded.", b"\x22" * 1600)
    room.talk.greet("This call is recorded.", "Hello!")
    assert room.waiting == 1
    assert [s.text for s in room.talk.playout.unconfirmed()] == ["Hello!"]
    room.mouth_says(0, 1)
    room.time_passes(1000)
    assert room.records[0].heard == "This call is recorded. Hello!"


def test_the_mouth_says_whether_a_sentence_was_prepared() -> None:
    for after_ms, prepared in ((15, True), (16, False), (2, False)):
        room = Room().greeted()
        room.talk.open_turn("speech", "Hi", room.now_ms)
        room.talk.take(answer(1))
        room.talk.speech.asked(room.talk.playout.sentences[0])
        room.now_ms += after_ms
        room.mouth_says(1, prepared=prepared)
        room.time_passes(700)
        assert room.records[-1].prepared is prepared
        assert room.records[-1].times.tts_first_audio_ms == after_ms
