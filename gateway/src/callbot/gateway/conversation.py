"""The talking of one call: turns opened, answers taken, sentences played, failures said aloud.

Decides; whoever owns it (`ConversationOwner`) does what needs the network.
"""

from typing import Protocol

from callbot.gateway.phrases import Phrase
from callbot.gateway.playout import Playout, SendAudio, SendClear, Sending, SendMark, Sentence
from callbot.gateway.seating import Clock
from callbot.gateway.turns import Input, Turn, Turns
from callbot.gateway.watchdog import FAILED_TURNS_IN_A_ROW
from callbot.schemas.audio import BotAudio
from callbot.schemas.calls import CallBrief, CallFact, EndReason, Stage, StageFallback, TurnDone
from callbot.schemas.dialog import TurnAnswered, WebhookStatus
from callbot.schemas.webhook import Action

NOT_UNDERSTOOD_IN_A_ROW = 6
FROM_MEMORY = 1_000_000
"""The number of a sentence that the mouth never sees."""


class Line(Protocol):
    """The caller's socket. Nothing here waits."""

    def audio(self, payload: bytes) -> None: ...
    def mark(self, name: str) -> None: ...
    def clear(self) -> None: ...
    def hang_up(self) -> None: ...


class ConversationOwner(Protocol):
    def turn_opened(self, turn: Turn) -> None: ...
    def turn_cancelled(self, number: int) -> None: ...
    def turn_closed(self) -> None: ...
    def sentences_waiting(self) -> None: ...
    def tell(self, fact: CallFact) -> None: ...
    def finished(self, reason: EndReason) -> None: ...


class Conversation:
    def __init__(
        self,
        brief: CallBrief,
        turns: Turns,
        playout: Playout,
        line: Line,
        phrases: dict[str, Phrase],
        owner: ConversationOwner,
        clock: Clock,
    ) -> None:
        self.turns = turns
        self.playout = playout
        self.ending: EndReason | None = None
        """Set once the last sentence of the call is being said."""
        self.pending: tuple[Action, str | None] = (Action.CONTINUE, None)
        """What has to be done once the last answer has been heard, and the number to transfer to."""
        self._brief = brief
        self._line = line
        self._phrases = phrases
        self._owner = owner
        self._clock = clock
        self._failed_in_a_row = 0
        self._not_understood = 0

    @property
    def is_closing(self) -> bool:
        return self.ending is not None or self.pending[0] is not Action.CONTINUE

    @property
    def is_speaking(self) -> bool:
        """An answer is being said, or is about to be."""
        turn = self.turns.current
        return turn is not None and not turn.thinking

    def greet(self, words: str) -> None:
        now_ms = self._clock()
        self.turns.open("greeting", "", now_ms)
        self.turns.speak_instead(words, "greeting", "", now_ms)
        self._speak([words])

    def open_turn(self, kind: Input, user_text: str, spoken_until_ms: float) -> Turn:
        """The caller has said something: whatever the bot was thinking or saying is over."""
        now_ms = self._clock()
        self.close_turn("overtaken by the caller")
        self.playout.begin([])
        turn = self.turns.open(kind, user_text, now_ms, speech_ended_at_ms=spoken_until_ms)
        if user_text:
            self._owner.turn_opened(turn)
        return turn

    def take(self, answer: TurnAnswered) -> bool:
        """False: nobody waits for this answer."""
        turn = self.turns.take(answer, self._clock())
        if turn is None:
            return False
        if turn.action is Action.TRANSFER and not (turn.transfer_to or self._brief.transfer_to):
            turn.errors.append("transfer: no number to transfer to")
            turn.action = Action.CONTINUE
        self.pending = (turn.action, turn.transfer_to)
        if answer.webhook_status not in (WebhookStatus.OK, WebhookStatus.NOT_CALLED):
            self._owner.tell(StageFallback(stage="webhook", reason=str(answer.webhook_status)))
        if answer.sentences:
            self._speak(answer.sentences)
        else:
            self.apologise("mind", "nothing to say")
        return True

    def bot_audio(self, audio: BotAudio) -> None:
        self._send(self.playout.add(audio, self._clock()))
        self.pump()

    def sentence_lost(self, turn: int, number: int, reason: str) -> None:
        """This sentence will not come. If nothing of the turn has come, the caller must hear why."""
        current = self.turns.current
        if current is None or current.number != turn:
            return
        current.errors.append(f"mouth: {reason}")
        self.playout.drop(number)
        if not any(s.audio or not s.complete for s in self.playout.sentences):
            self.apologise("mouth", reason)
        self.pump()

    def mark_echoed(self, name: str) -> None:
        self.playout.mark_echoed(name)
        self.pump()

    def apologise(self, stage: Stage, reason: str) -> None:
        """From memory, because a stage failed; after several in a row the call ends with a goodbye."""
        if self.ending is not None:
            return
        self._failed_in_a_row += 1
        turn = self.turns.current
        if self._failed_in_a_row >= FAILED_TURNS_IN_A_ROW:
            self.say_last("goodbye", "failed", stage, reason)
        elif turn is not None and turn.input == "greeting":
            self._say_from_memory("hello", stage, reason)
        elif turn is not None and turn.action is not Action.CONTINUE:
            self._say_from_memory("one_moment", stage, reason, keep_action=True)
        else:
            self._say_from_memory("apology", stage, reason)

    def ask_again(self) -> None:
        """The caller was not understood: no stage has failed, but noise must not be asked for ever."""
        self._not_understood += 1
        if self._not_understood >= NOT_UNDERSTOOD_IN_A_ROW:
            self.say_last("goodbye", "failed", "ears", "never understood")
        else:
            self._say_from_memory("apology", "ears", "not understood")

    def say_last(self, phrase: str, ending: EndReason, stage: Stage, reason: str) -> None:
        """A sentence from memory, then the end of the call."""
        if self.ending is None:
            self.ending = ending
            self._say_from_memory(phrase, stage, reason)

    def close_turn(self, cut_by: str) -> None:
        """The turn is over, spoken or not; what was heard of it goes into the history."""
        turn = self.turns.current
        if turn is None:
            return
        now_ms = self._clock()
        unfinished = not self.playout.is_over(now_ms) or turn.thinking
        if unfinished:
            turn.errors.append(cut_by)
            self._owner.turn_cancelled(turn.number)
        heard = " ".join(filter(None, (turn.heard_before, self.playout.heard_text(now_ms))))
        self._send(self.playout.clear(now_ms))
        self.playout.begin([])
        record = self.turns.close(heard)
        if record is not None:
            self._owner.tell(TurnDone(turn=record))
        self._owner.turn_closed()

    def pump(self) -> None:
        """Send what is due; notice that everything has been heard."""
        now_ms = self._clock()
        turn = self.turns.current
        self._send(self.playout.due(now_ms))
        if turn is None or turn.thinking or not self.playout.is_over(now_ms):
            return
        if turn.say and turn.first_audio_at_ms is None:
            self.apologise("mouth", "no sound")
            return
        if turn.source != "apology":
            self._failed_in_a_row = self._not_understood = 0
        self.close_turn("")
        if self.ending is not None:
            self._owner.finished(self.ending)
        elif turn.action is Action.HANGUP:
            self._owner.finished("bot_hung_up")
        elif turn.action is Action.TRANSFER:
            self._owner.finished("transferred")

    def silent_since_ms(self) -> float | None:
        """An answer is owed and nothing of it sounds: since when."""
        turn = self.turns.current
        if turn is None or turn.answered_at_ms is None:
            return None
        return self.playout.silent_since_ms(self._clock(), turn.answered_at_ms)

    def _say_from_memory(self, name: str, stage: Stage, reason: str, *, keep_action: bool = False) -> None:
        now_ms = self._clock()
        phrase = self._phrases[name]
        turn = self.turns.current or self.turns.open("speech", "", now_ms)
        turn.heard_before = self.playout.heard_text(now_ms)
        self._send(self.playout.clear(now_ms))
        self._owner.turn_cancelled(turn.number)
        if not keep_action:
            self.pending = (Action.CONTINUE, None)
            turn.action = Action.CONTINUE
        self.turns.speak_instead(phrase.text, "apology", f"{stage}: {reason}", now_ms)
        sentence = Sentence(turn.number, FROM_MEMORY, phrase.text)
        self.playout.begin([sentence])
        self.playout.speak(sentence, phrase.audio)
        self._owner.tell(StageFallback(stage=stage, reason=reason))
        self.pump()

    def _speak(self, sentences: list[str]) -> None:
        turn = self.turns.current
        if turn is not None:
            self.playout.begin([Sentence(turn.number, i, text) for i, text in enumerate(sentences)])
            self._owner.sentences_waiting()

    def _send(self, effects: list[Sending]) -> None:
        turn = self.turns.current
        for effect in effects:
            match effect:
                case SendAudio(payload):
                    if turn is not None and turn.first_audio_at_ms is None:
                        turn.first_audio_at_ms = self._clock()
                    self._line.audio(payload)
                case SendMark(name):
                    self._line.mark(name)
                case SendClear():
                    self._line.clear()
