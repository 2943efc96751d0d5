"""One conversation, told event by event; the line and the owner only write down what reaches them."""

from dataclasses import dataclass, field

import pytest

from callbot.gateway.conversation import Conversation
from callbot.gateway.phrases import load
from callbot.gateway.playout import Playout
from callbot.gateway.turns import Turn, Turns
from callbot.schemas.audio import BotAudio
from callbot.schemas.calls import CallFact, EndReason, StageFallback, TurnDone
from callbot.schemas.dialog import TurnAnswered, WebhookStatus
from callbot.schemas.turn_record import TurnRecord
from callbot.schemas.webhook import Action
from tests.samples import CALL_ID, a_brief

PHRASES = load()


@dataclass
class Room:
    """Everything around one conversation."""

    now_ms: float = 0.0
    heard: bytes = b""
    marks: list[str] = field(default_factory=list)
    clears: int = 0
    opened: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    waiting: int = 0
    facts: list[CallFact] = field(default_factory=list)
    ended: EndReason | None = None
    transfer_to: str | None = None

    def __post_init__(self) -> None:
        self.talk = Conversation(
            a_brief(transfer_to=self.transfer_to),
            Turns(CALL_ID),
            Playout(),
            self,
            PHRASES,
            self,
            lambda: self.now_ms,
        )

    def audio(self, payload: bytes) -> None:
        self.heard += payload

    def mark(self, name: str) -> None:
        self.marks.append(name)

    def clear(self) -> None:
        self.clears += 1

    def hang_up(self) -> None:
        raise AssertionError("the owner hangs up, not the conversation")

    def turn_opened(self, turn: Turn) -> None:
        self.opened.append(turn.number)

    def turn_cancelled(self, number: int) -> None:
        self.cancelled.append(number)

    def turn_closed(self) -> None:
        pass

    def sentences_waiting(self) -> None:
        self.waiting += 1

    def tell(self, fact: CallFact) -> None:
        self.facts.append(fact)

    def finished(self, reason: EndReason) -> None:
        self.ended = reason

    @property
    def records(self) -> list[TurnRecord]:
        return [f.turn for f in self.facts if isinstance(f, TurnDone)]

    def mouth_says(self, turn: int, sentence: int = 0, length_ms: int = 500) -> None:
        audio = b"\x10" * (length_ms * 8)
        self.talk.bot_audio(BotAudio(1, turn, sentence, 0, audio))
        self.talk.bot_audio(BotAudio(1, turn, sentence, len(audio), b"", len(audio)))

    def time_passes(self, ms: int) -> None:
        """Twilio plays and echoes marks."""
        for _ in range(ms // 20):
            self.now_ms += 20
            self.talk.pump()
        for name in self.marks:
            self.talk.mark_echoed(name)

    def greeted(self) -> "Room":
        self.talk.greet("Hello!")
        self.mouth_says(0)
        self.time_passes(700)
        return self


def answer(
    number: int, say: str = "Fine.", action: Action = Action.CONTINUE, sentences: list[str] | None = None
) -> TurnAnswered:
    return TurnAnswered(
        epoch=1,
        turn_id=f"{CALL_ID}.{number}",
        number=number,
        say=say,
        sentences=[say] if sentences is None else sentences,
        action=action,
        source="webhook" if say else "none",
        webhook_status=WebhookStatus.OK if say else WebhookStatus.TIMEOUT,
    )


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
    for _ in range(20):
        room.now_ms += 20
        room.talk.pump()
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
        room.talk.ask_again()
        room.time_passes(5000)
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
