"""The talking of one call: turns opened, answers taken, sounds of the caller followed, failures said aloud.

Decides; whoever owns it (`ConversationOwner`) does what needs the network.
"""

from math import inf
from typing import Protocol

from callbot.gateway.barge_in import Bot, Step
from callbot.gateway.bot_speech import BotSpeech, Line
from callbot.gateway.phrases import PhraseBook
from callbot.gateway.playout import Playout
from callbot.gateway.seating import Clock
from callbot.gateway.turns import Input, Turn, Turns
from callbot.gateway.watchdog import FAILED_TURNS_IN_A_ROW
from callbot.schemas.audio import BotAudio
from callbot.schemas.calls import CallBrief, CallFact, EndReason, Stage, StageFallback, TurnDone
from callbot.schemas.dialog import TurnAnswered, WebhookStatus
from callbot.schemas.webhook import Action

NOT_UNDERSTOOD_IN_A_ROW = 6


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
        phrases: PhraseBook,
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
        self._phrases = phrases
        self._owner = owner
        self._clock = clock
        self.speech = BotSpeech(turns, playout, line, clock)
        self._transfer_failed = False
        self._failed_in_a_row = 0
        self._not_understood = 0

    @property
    def is_closing(self) -> bool:
        return self.ending is not None or self.pending[0] is not Action.CONTINUE

    @property
    def greeting_is_protected(self) -> bool:
        """It is being said, and nothing may cut it off."""
        turn = self.turns.current
        asked_for = self._brief.protect_greeting or (self._brief.record and self._brief.phrases.recorded)
        return bool(asked_for) and turn is not None and turn.input == "greeting"

    def bot(self) -> Bot:
        """What a sound of the caller meets."""
        turn, now_ms = self.turns.current, self._clock()
        if turn is None:
            return Bot("nothing", self.is_closing)
        if turn.thinking:
            return Bot("thinking", self.is_closing)
        unheard_ms = self.playout.unheard_ms(now_ms)
        aside = self.playout.aside_sounds(now_ms)
        if unheard_ms <= 0 and not aside:
            return Bot("nothing", self.is_closing)
        if aside or turn.source == "apology" or self.greeting_is_protected:
            return Bot("protected", self.is_closing, unheard_ms)
        # Nobody answers what they have hardly heard.
        nearly_over = unheard_ms <= self.playout.heard_ms(now_ms)
        return Bot("speaking", self.is_closing, unheard_ms if nearly_over else inf)

    # The caller's turn and its answer

    def greet(self, *sentences: str) -> None:
        """At once where their audio is in memory, else by the mouth."""
        self._greet(list(sentences), [self._phrases.spoken(text) for text in sentences])

    def greet_after_transfer(self) -> None:
        """Nobody has taken the transferred call: the bot has it again."""
        self._transfer_failed = True
        phrase = self._phrases.get("nobody_answers")
        self._greet([phrase.text], [phrase.audio])

    def open_turn(self, kind: Input, user_text: str, spoken_until_ms: float) -> Turn:
        """The caller has said something: whatever the bot was thinking or saying is over."""
        self.interrupt()
        turn = self.turns.open(kind, user_text, self._clock(), speech_ended_at_ms=spoken_until_ms)
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
            self.speech.say(answer.sentences)
            self._owner.sentences_waiting()
        else:
            self.apologise("mind", "nothing to say")
        return True

    # From the mouth and the line

    def bot_audio(self, audio: BotAudio) -> None:
        self.speech.add(audio)
        self.pump()

    def sentence_lost(self, turn: int, number: int, reason: str) -> None:
        """This sentence will not come. If nothing of the turn has come, the caller must hear why."""
        current = self.turns.current
        if current is None or current.number != turn:
            return
        current.errors.append(f"mouth: {reason}")
        self.playout.drop(number)
        if not any(s.audio or not s.complete for s in self.playout.sentences if not s.aside):
            self.apologise("mouth", reason)
        self.pump()

    def mark_echoed(self, name: str) -> None:
        self.playout.mark_echoed(name)
        self.pump()

    def pump(self) -> None:
        """Send what is due; notice that everything has been heard."""
        self.speech.send_due()
        turn = self.turns.current
        if turn is None or turn.thinking or not self.playout.is_over(self._clock()):
            return
        if turn.say and turn.first_audio_at_ms is None:
            self.apologise("mouth", "no sound")
            return
        if turn.source != "apology" and turn.input != "silence":
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

    # The caller's sounds and silence

    def follow(self, step: Step) -> None:
        """What a sound of the caller leads to."""
        match step:
            case Step.PAUSE:
                self.speech.pause()
            case Step.RESUME:
                self.speech.resume()
            case Step.CANCEL:
                self.interrupt()
            case Step.GIVE_FLOOR:
                self.playout.finish()
                self.pump()
            case Step.ASK_AGAIN:
                if self.turns.current is None:
                    self.ask_again()
            case Step.NOTHING:
                return

    def interrupt(self) -> None:
        """The caller has cut the bot off."""
        turn = self.turns.current
        if turn is not None and not turn.thinking and not self.playout.is_over(self._clock()):
            turn.interrupted = True
        self.close_turn("overtaken by the caller")

    def stop_for_key(self) -> None:
        """A key is no noise: it stops all but a protected greeting and the last sentence of the call."""
        speaks = self.bot().doing in ("speaking", "protected")
        if speaks and not self.is_closing and not self.greeting_is_protected:
            self.interrupt()

    def fill(self) -> None:
        """The answer takes long."""
        self.speech.say_aside(self._phrases.get("one_moment"))
        self.pump()

    def remind(self, name: str) -> None:
        """A turn of the bot's own: the caller is silent, or the time is nearly over."""
        now_ms, phrase = self._clock(), self._phrases.get(name)
        self.turns.open("silence", "", now_ms)
        self.turns.speak_instead(phrase.text, "none", "", now_ms)
        self.speech.say([phrase.text], [phrase.audio])
        self.pump()

    def leave_silent_caller(self) -> None:
        self.turns.open("silence", "", self._clock())
        self.say_last("silent_goodbye", "bot_hung_up", "call", "the caller is silent")

    # Failures

    def apologise(self, stage: Stage, reason: str) -> None:
        """From memory, because a stage failed; after several in a row we give up."""
        if self.ending is not None:
            return
        self._failed_in_a_row += 1
        turn = self.turns.current
        if self._failed_in_a_row >= FAILED_TURNS_IN_A_ROW:
            self.give_up(stage, reason)
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
            self.give_up("ears", "never understood")
        else:
            self._say_from_memory("not_understood", "ears", "not understood")

    def give_up(self, stage: Stage, reason: str) -> None:
        """It stays broken: a human, where the bot has the number of one, else the end."""
        number = self._brief.transfer_to
        if not number or self._transfer_failed:
            self.say_last("goodbye", "failed", stage, reason)
        elif self.ending is None:
            self.say_last("one_moment", "transferred", stage, reason)
            self.pending = (Action.TRANSFER, number)

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
        unfinished = not self.playout.is_over(self._clock()) or turn.thinking
        if unfinished:
            turn.errors.append(cut_by)
            self._owner.turn_cancelled(turn.number)
        heard = self.speech.heard()
        self.speech.stop()
        record = self.turns.close(heard)
        if record is not None:
            self._owner.tell(TurnDone(turn=record))
        self._owner.turn_closed()

    def _greet(self, texts: list[str], audios: list[bytes | None]) -> None:
        now_ms = self._clock()
        self.turns.open("greeting", "", now_ms)
        self.turns.speak_instead(" ".join(texts), "greeting", "", now_ms)
        self.speech.say(texts, audios)
        if self.playout.unconfirmed():
            self._owner.sentences_waiting()
        self.pump()

    def _say_from_memory(self, name: str, stage: Stage, reason: str, *, keep_action: bool = False) -> None:
        phrase = self._phrases.get(name)
        turn = self.turns.current or self.turns.open("speech", "", self._clock())
        self._owner.turn_cancelled(turn.number)
        if not keep_action:
            self.pending = (Action.CONTINUE, None)
            turn.action = Action.CONTINUE
        self.speech.say_instead(phrase)
        self.turns.speak_instead(phrase.text, "apology", f"{stage}: {reason}", self._clock())
        self._owner.tell(StageFallback(stage=stage, reason=reason))
        self.pump()
