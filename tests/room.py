"""Everything around one conversation of the gateway: its line and its owner write down what reaches them."""

from dataclasses import dataclass, field

from callbot.gateway.conversation import Conversation
from callbot.gateway.phrases import PhraseBook, PhraseMemory, load
from callbot.gateway.playout import Playout
from callbot.gateway.turns import Turn, Turns
from callbot.schemas.audio import BotAudio
from callbot.schemas.calls import CallFact, EndReason, TurnDone
from callbot.schemas.dialog import TurnAnswered, WebhookStatus
from callbot.schemas.turn_record import TurnRecord
from callbot.schemas.turn_taking import phrase_key
from callbot.schemas.webhook import Action
from tests.samples import CALL_ID, a_brief

PHRASES = load()


@dataclass
class Room:
    """Everything around one conversation."""

    now_ms: float = 0.0
    heard: bytes = b""
    """Played, not only sent."""
    marks: list[str] = field(default_factory=list)
    clears: int = 0
    opened: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    waiting: int = 0
    facts: list[CallFact] = field(default_factory=list)
    ended: EndReason | None = None
    transfer_to: str | None = None
    protect_greeting: bool = False
    _far: list[bytes | str] = field(default_factory=list)
    """Twilio's buffer: audio and marks."""
    _echoes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.brief = a_brief(transfer_to=self.transfer_to, protect_greeting=self.protect_greeting)
        self.memory = PhraseMemory()
        book = PhraseBook(self.brief, PHRASES, self.memory)
        self.talk = Conversation(self.brief, Turns(CALL_ID), Playout(), self, book, self, lambda: self.now_ms)

    def remembers(self, text: str, audio: bytes) -> None:
        """The bot's own sentence, in the phrase memory."""
        self.memory.put(phrase_key(self.brief.voice, self.brief.language, text), audio)

    def audio(self, payload: bytes) -> None:
        self._far.append(payload)

    def mark(self, name: str) -> None:
        self.marks.append(name)
        self._far.append(name)

    def clear(self) -> None:
        """What has not been played is forgotten; its marks come back at once, as Twilio does it."""
        self.clears += 1
        flushed, self._far = self._far, []
        self._echoes += [item for item in flushed if isinstance(item, str)]

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

    def mouth_says(
        self, turn: int, sentence: int = 0, length_ms: int = 500, *, prepared: bool = False
    ) -> None:
        audio = b"\x10" * (length_ms * 8)
        self.talk.bot_audio(BotAudio(1, turn, sentence, 0, audio, prepared=prepared))
        self.talk.bot_audio(BotAudio(1, turn, sentence, len(audio), b"", len(audio)))

    def time_passes(self, ms: int) -> None:
        """Twilio plays and echoes marks."""
        for _ in range(ms // 20):
            self.now_ms += 20
            self._play(20 * 8)
            echoes, self._echoes = self._echoes, []
            for name in echoes:
                self.talk.mark_echoed(name)
            self.talk.pump()

    def _play(self, size: int) -> None:
        while self._far:
            match self._far[0]:
                case str() as name:
                    self._echoes.append(name)
                    del self._far[0]
                case bytes() as audio if size:
                    self.heard += audio[:size]
                    self._far[0] = audio[size:]
                    size -= min(size, len(audio))
                    if not self._far[0]:
                        del self._far[0]
                case _:
                    return

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
