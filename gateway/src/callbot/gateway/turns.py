"""The conversation as it really went: turns numbered, answers taken once, history as it was heard. Pure."""

from dataclasses import dataclass, field
from typing import Literal

from callbot.gateway.turn_trace import trace_turn
from callbot.schemas.dialog import TurnAnswered, TurnForeseen, TurnOpened
from callbot.schemas.turn_record import StageTimes, TurnRecord
from callbot.schemas.webhook import Action, HistoryEntry

HISTORY_ENTRIES = 200
HISTORY_CHARACTERS = 60_000
LONGEST_TEXT = 4000

Input = Literal["greeting", "speech", "dtmf", "silence"]
Source = Literal["greeting", "webhook", "suggestion", "apology", "none"]


@dataclass
class Turn:
    """One turn while it lasts. Times are the gateway's clock in milliseconds."""

    number: int
    turn_id: str
    input: Input
    user_text: str
    speech_ended_at_ms: float
    opened_at_ms: float
    endpointing_ms: float | None = None
    stt_ms: float | None = None
    answer: TurnAnswered | None = None
    answered_at_ms: float | None = None
    say: str = ""
    source: Source = "none"
    action: Action = Action.CONTINUE
    transfer_to: str | None = None
    errors: list[str] = field(default_factory=list)
    eager_ms: float | None = None
    asked_at_ms: float | None = None
    """When the mouth was handed the first sentence."""
    arrived_at_ms: float | None = None
    """When the first audio of it was here."""
    prepared: bool = False
    first_audio_at_ms: float | None = None
    spoken_from_ms: float | None = None
    """When the caller began to speak; a little before their first voice."""
    fillers: int = 0
    pauses: int = 0
    interrupted: bool = False
    heard_before: str = ""
    """What was heard of an answer that an apology has replaced."""

    @property
    def thinking(self) -> bool:
        return self.answered_at_ms is None

    @property
    def awaits_sound(self) -> bool:
        """The caller waits for an answer of which nothing has been sent."""
        return bool(self.user_text) and self.source != "apology" and self.first_audio_at_ms is None

    def audio_arrived(self, now_ms: float, *, prepared: bool) -> None:
        """The first audio of the first sentence."""
        if self.arrived_at_ms is None and self.asked_at_ms is not None:
            self.arrived_at_ms = now_ms
            self.prepared = prepared


class Turns:
    def __init__(self, call_id: str, history: list[HistoryEntry] | None = None, next_number: int = 0) -> None:
        self.history: list[HistoryEntry] = list(history or [])
        self.current: Turn | None = None
        self._call_id = call_id
        self.next_number = next_number

    @property
    def next_id(self) -> str:
        """Of the turn that is opened next."""
        return f"{self._call_id}.{self.next_number}"

    def last_bot_words(self) -> str:
        """What the bot said last; empty when it has not spoken."""
        return next((h.content for h in reversed(self.history) if h.role == "bot"), "")

    def open(
        self, kind: Input, user_text: str, now_ms: float, *, speech_ended_at_ms: float | None = None
    ) -> Turn:
        """A new turn; the one before must have been closed."""
        user_text = user_text[:LONGEST_TEXT]
        turn = Turn(
            number=self.next_number,
            turn_id=self.next_id,
            input=kind,
            user_text=user_text,
            speech_ended_at_ms=now_ms if speech_ended_at_ms is None else speech_ended_at_ms,
            opened_at_ms=now_ms,
        )
        self.next_number += 1
        self.current = turn
        return turn

    def hand_over(self, epoch: int, now_ms: float) -> TurnOpened | None:
        """What the mind has to be told, if a turn is waiting for it."""
        turn = self.current
        if turn is None or not turn.thinking or turn.input in ("greeting", "silence"):
            return None
        return TurnOpened(
            epoch=epoch,
            turn_id=turn.turn_id,
            number=turn.number,
            input=turn.input,
            user_text=turn.user_text,
            history=self.history,
            elapsed_ms=max(0, round(now_ms - turn.opened_at_ms)),
        )

    def foresee(self, epoch: int, user_text: str, heard: str) -> TurnForeseen:
        """The next turn, were it to begin now."""
        history = _after(self.history, self.current, heard)
        return TurnForeseen(
            epoch=epoch, number=self.next_number, user_text=user_text[:LONGEST_TEXT], history=history
        )

    def take(self, answer: TurnAnswered, now_ms: float) -> Turn | None:
        """The first answer to the open turn counts; any other is nothing."""
        turn = self.current
        if turn is None or not turn.thinking or turn.turn_id != answer.turn_id:
            return None
        turn.answer = answer
        turn.answered_at_ms = now_ms
        turn.say = answer.say
        turn.source = answer.source
        turn.action = answer.action
        turn.transfer_to = answer.transfer_to
        if answer.llm_error:
            turn.errors.append(f"language model: {answer.llm_error}")
        if answer.webhook_status not in ("ok", "not_called"):
            turn.errors.append(f"webhook: {answer.webhook_status} {answer.webhook_detail}".rstrip())
        return turn

    def speak_instead(self, say: str, source: Source, error: str, now_ms: float) -> None:
        """The open turn gets a sentence of ours, because a stage failed or because it is the greeting."""
        turn = self.current
        if turn is None:
            return
        if turn.answered_at_ms is None:
            turn.answered_at_ms = now_ms
        turn.say = say
        turn.source = source
        if error:
            turn.errors.append(error)

    def close(self, heard: str) -> TurnRecord | None:
        """The open turn is over: its words enter the history as far as they were heard."""
        turn, self.current = self.current, None
        if turn is None:
            return None
        self.history = _after(self.history, turn, heard)
        trace_turn(turn)
        return _record(turn, heard)


def _after(history: list[HistoryEntry], turn: Turn | None, heard: str) -> list[HistoryEntry]:
    """The history with this turn in it, and no longer than every turn can carry (1 MiB a message)."""
    history = list(history)
    if turn is not None and turn.user_text:
        history.append(HistoryEntry(role="user", content=turn.user_text))
    if turn is not None and heard:
        history.append(HistoryEntry(role="bot", content=heard))
    characters = sum(len(entry.content) for entry in history)
    while len(history) > HISTORY_ENTRIES or characters > HISTORY_CHARACTERS:
        characters -= len(history[0].content)
        del history[0]
    return history


def _record(turn: Turn, heard: str) -> TurnRecord:
    answer = turn.answer
    times = StageTimes(
        endpointing_ms=turn.endpointing_ms,
        stt_ms=turn.stt_ms,
        llm_first_token_ms=answer.llm_first_token_ms if answer else None,
        llm_ms=answer.llm_ms if answer else None,
        webhook_ms=answer.webhook_ms if answer else None,
        answer_ms=_since(turn.opened_at_ms, turn.answered_at_ms) if answer else None,
        tts_first_audio_ms=_since(turn.asked_at_ms, turn.arrived_at_ms),
        eager_ms=turn.eager_ms,
        won_ms=answer.won_ms if answer else None,
        voice_to_voice_ms=_since(turn.speech_ended_at_ms, turn.first_audio_at_ms),
    )
    return TurnRecord(
        number=turn.number,
        input=turn.input,
        user_text=turn.user_text,
        suggestion=answer.suggestion if answer else "",
        say=turn.say,
        heard=heard,
        action=turn.action,
        source=turn.source,
        webhook_status=answer.webhook_status if answer else "",
        errors=turn.errors,
        speculation=answer.speculation if answer else "none",
        prepared=turn.prepared,
        interrupted=turn.interrupted,
        pauses=turn.pauses,
        times=times,
    )


def _since(start_ms: float | None, end_ms: float | None) -> float | None:
    return None if start_ms is None or end_ms is None else round(end_ms - start_ms, 1)
