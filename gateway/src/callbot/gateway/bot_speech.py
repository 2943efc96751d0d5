"""The sound of the open turn: sent to the line, held up, replaced, heard. Decides nothing."""

from typing import Protocol

from callbot.gateway.phrases import Phrase
from callbot.gateway.playout import Playout, SendAudio, SendClear, Sending, SendMark, Sentence
from callbot.gateway.seating import Clock
from callbot.gateway.turns import Turns
from callbot.schemas.audio import BotAudio

FROM_MEMORY = 1_000_000
"""From here on sentences are numbered that the mouth never sees."""


class Line(Protocol):
    """The caller's socket. Nothing here waits."""

    def audio(self, payload: bytes) -> None: ...
    def mark(self, name: str) -> None: ...
    def clear(self) -> None: ...
    def hang_up(self) -> None: ...


class BotSpeech:
    def __init__(self, turns: Turns, playout: Playout, line: Line, clock: Clock) -> None:
        self._turns = turns
        self._playout = playout
        self._line = line
        self._clock = clock
        self._next_from_memory = FROM_MEMORY

    def say(self, texts: list[str], audios: list[bytes | None] | None = None) -> None:
        """The sentences of the open turn; those that come with their audio need no mouth."""
        turn = self._turns.current
        if turn is None:
            return
        said = [Sentence(turn.number, i, text) for i, text in enumerate(texts)]
        for sentence, audio in zip(said, audios or [], strict=False):
            if audio:
                self._playout.speak(sentence, audio)
        turn.prepared = bool(said) and said[0].complete
        self._send(self._playout.replace(said, self._clock()))

    def say_instead(self, phrase: Phrase) -> None:
        """From memory, in the place of all that has not been heard."""
        turn, now_ms = self._turns.current, self._clock()
        if turn is None:
            return
        turn.heard_before = self.heard()
        sentence = self._in_memory(turn.number, phrase)
        self._send(self._playout.replace([sentence], now_ms))

    def say_aside(self, phrase: Phrase) -> None:
        """From memory, before an answer of which nothing has been sent."""
        turn = self._turns.current
        if turn is not None:
            turn.fillers += 1
            self._playout.add_aside(self._in_memory(turn.number, phrase, aside=True))

    def asked(self, sentence: Sentence) -> None:
        """The mouth is being handed this one."""
        turn = self._turns.current
        if turn is not None and (turn.number, 0) == (sentence.turn, sentence.number):
            turn.asked_at_ms = turn.asked_at_ms or self._clock()

    def add(self, audio: BotAudio) -> None:
        turn = self._turns.current
        if turn is not None and (turn.number, 0) == (audio.turn, audio.sentence) and audio.payload:
            turn.audio_arrived(self._clock(), prepared=audio.prepared)
        self._send(self._playout.add(audio, self._clock()))

    def pause(self) -> None:
        self._send(self._playout.pause(self._clock()))

    def resume(self) -> None:
        turn = self._turns.current
        if turn is not None and self._playout.paused:
            turn.pauses += 1
            self._send(self._playout.resume(self._clock()))

    def send_due(self) -> None:
        self._send(self._playout.due(self._clock()))

    def stop(self) -> None:
        """Silence, and nothing is left to say."""
        self._send(self._playout.clear(self._clock()))
        self._playout.begin([])

    def heard(self) -> str:
        """What the caller has heard of the open turn until now."""
        turn = self._turns.current
        if turn is None:
            return ""
        return " ".join(filter(None, (turn.heard_before, self._playout.heard_text(self._clock()))))

    def _in_memory(self, turn: int, phrase: Phrase, *, aside: bool = False) -> Sentence:
        # A number of its own: a mark that is still on its way must not be taken for this one's.
        sentence = Sentence(turn, self._next_from_memory, phrase.text, aside)
        self._next_from_memory += 1
        self._playout.speak(sentence, phrase.audio)
        return sentence

    def _send(self, effects: list[Sending]) -> None:
        for effect in effects:
            match effect:
                case SendAudio(payload):
                    self._line.audio(payload)
                case SendMark(name):
                    self._line.mark(name)
                case SendClear():
                    self._line.clear()
        turn = self._turns.current
        if turn is not None and turn.first_audio_at_ms is None:
            turn.first_audio_at_ms = self._playout.first_audio_at_ms
