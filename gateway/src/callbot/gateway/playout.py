"""What the caller hears of the bot: paced sending, a clock of the far buffer, marks. Pure.

Twilio plays what it has been sent at 8,000 bytes a second and echoes a mark when all audio before it has
been played (https://www.twilio.com/docs/voice/media-streams/websocket-messages). We send at most `LEAD_MS`
ahead, so that little has to be cleared, and know from clock and marks how much of each sentence was heard.
A pause clears what is unheard and remembers from which byte to go on; the line's delay is the same for audio
and `clear`, so that the clock is right at both ends.
"""

from dataclasses import dataclass, field
from math import inf

from callbot.gateway.call_metrics import TORN
from callbot.schemas.audio import BYTES_PER_MS, BotAudio

LEAD_MS = 600
CHUNK_BYTES = 200 * BYTES_PER_MS
MARK_GRACE_MS = 1500
"""A mark that is this late is not waited for: the clock decides."""


@dataclass(frozen=True)
class SendAudio:
    payload: bytes


@dataclass(frozen=True)
class SendMark:
    name: str


@dataclass(frozen=True)
class SendClear:
    pass


Sending = SendAudio | SendMark | SendClear


@dataclass
class Sentence:
    """One sentence: what has arrived of it, been sent, been heard."""

    turn: int
    number: int
    text: str
    aside: bool = False
    """Said while the answer is waited for; no part of what the turn says."""
    epoch: int = 0
    """Of the attempt whose audio this is: attempts are never spliced."""
    audio: bytearray = field(default_factory=bytearray)
    total: int | None = None
    sent: int = 0
    played: list[tuple[float, int]] = field(default_factory=list)
    """When each sent piece begins to sound, and its bytes."""
    mark_sent: bool = False
    marked: bool = False
    """Its mark has come back: it was heard to its end."""

    @property
    def complete(self) -> bool:
        return self.total is not None and len(self.audio) >= self.total

    def heard_bytes(self, now_ms: float) -> int:
        if self.marked:
            return self.sent
        return sum(min(size, max(0, int((now_ms - at) * BYTES_PER_MS))) for at, size in self.played)

    def heard_text(self, now_ms: float) -> str:
        """The share of the words that was heard: whole words, by the share of the audio."""
        heard = self.heard_bytes(now_ms)
        if heard <= 0:
            return ""
        if self.complete and heard >= len(self.audio):
            return self.text
        expected = self.total or max(len(self.audio), len(self.text) * 60 * BYTES_PER_MS)
        cut = round(len(self.text) * heard / expected)
        if cut >= len(self.text):
            return self.text
        return self.text[:cut].rpartition(" ")[0]


class Playout:
    """The sentences of one turn, in order."""

    def __init__(self) -> None:
        self.sentences: list[Sentence] = []
        self.first_audio_at_ms: float | None = None
        """When the first audio of this turn was sent, asides not counted."""
        self.paused = False
        """Held up by a sound of the caller: nothing is sent until `resume`."""
        self._generation = 0
        self._buffer_ends_at_ms = 0.0

    def begin(self, sentences: list[Sentence]) -> None:
        """A new turn; what was left of the last one is forgotten (clear it first)."""
        self.sentences = sentences
        self.first_audio_at_ms = None
        self.paused = False

    def replace(self, sentences: list[Sentence], now_ms: float) -> list[Sending]:
        """Something else of the same turn; only an aside that is being said is said to its end."""
        asides = [s for s in self.sentences if s.aside and s.heard_bytes(now_ms) < len(s.audio)]
        unheard = any(s.sent > s.heard_bytes(now_ms) for s in self.sentences if not s.aside)
        effects = self._rewind(now_ms) if unheard else []
        self.begin([*asides, *sentences])
        return effects

    def add_aside(self, sentence: Sentence) -> None:
        """Before everything that is still to be said; only while nothing of the answer has been sent."""
        asides = [s for s in self.sentences if s.aside]
        self.sentences = [*asides, sentence, *(s for s in self.sentences if not s.aside)]

    def add(self, audio: BotAudio, now_ms: float) -> list[Sending]:
        """Audio from the mouth. A newer attempt replaces what is unheard of an older one, from its start."""
        sentence = self._find(audio.turn, audio.sentence)
        if sentence is None or sentence.complete or audio.epoch < sentence.epoch:
            return []
        effects: list[Sending] = []
        if audio.epoch > sentence.epoch:
            if audio.offset != 0:
                return []
            effects = self._replace(sentence, audio.epoch, now_ms)
        if audio.offset == len(sentence.audio):
            sentence.audio += audio.payload
        if audio.total is not None and audio.total == len(sentence.audio):
            sentence.total = audio.total
        return effects

    def speak(self, sentence: Sentence, audio: bytes) -> None:
        """Audio that is in memory already."""
        sentence.audio[:] = audio
        sentence.total = len(audio)

    def gap(self, audio: BotAudio) -> bool:
        """Has part of this attempt been lost on the way? Then it has to be said again."""
        sentence = self._find(audio.turn, audio.sentence)
        if sentence is None or sentence.complete or audio.epoch < sentence.epoch:
            return False
        if audio.epoch > sentence.epoch:
            return audio.offset > 0
        return audio.offset > len(sentence.audio) or (audio.total or 0) > len(sentence.audio)

    def drop(self, number: int) -> None:
        """This sentence will never come: go on without it."""
        for sentence in self.sentences:
            if sentence.number == number and not sentence.complete:
                sentence.total = len(sentence.audio)

    def due(self, now_ms: float) -> list[Sending]:
        """What to send now, at most `LEAD_MS` ahead of what is being heard."""
        effects: list[Sending] = []
        if self.paused:
            return effects
        for sentence in self.sentences:
            while sentence.sent < len(sentence.audio) and self._buffer_ends_at_ms - now_ms < LEAD_MS:
                piece = bytes(sentence.audio[sentence.sent : sentence.sent + CHUNK_BYTES])
                effects.append(SendAudio(piece))
                self._count(sentence, len(piece), now_ms)
            if sentence.sent < len(sentence.audio) or not sentence.complete:
                break
            if sentence.sent and not sentence.mark_sent:
                sentence.mark_sent = True
                effects.append(SendMark(self._mark(sentence)))
        return effects

    def mark_echoed(self, name: str) -> None:
        """Played, or flushed by a clear: marks from before the last clear have another generation."""
        for sentence in self.sentences:
            if self._mark(sentence) == name:
                sentence.marked = True

    def clear(self, now_ms: float) -> list[Sending]:
        """Silence at once; what was heard until now stays known."""
        if self._buffer_ends_at_ms <= now_ms:
            return []
        for sentence in self.sentences:
            sentence.played = [
                (at, min(size, max(0, int((now_ms - at) * BYTES_PER_MS)))) for at, size in sentence.played
            ]
        self._generation += 1
        self._buffer_ends_at_ms = now_ms
        return [SendClear()]

    def pause(self, now_ms: float) -> list[Sending]:
        """Silence at once; what was not heard of what was sent is to be sent again."""
        self.paused = True
        return self._rewind(now_ms)

    def resume(self, now_ms: float) -> list[Sending]:
        """On from the byte that was heard last, with marks of a new generation."""
        self.paused = False
        self._buffer_ends_at_ms = max(self._buffer_ends_at_ms, now_ms)
        return self.due(now_ms)

    def finish(self) -> None:
        """What is left is as good as heard."""
        for sentence in self.sentences:
            sentence.sent = sentence.total = len(sentence.audio)
            sentence.marked = True

    def is_over(self, now_ms: float) -> bool:
        """Every sentence has been heard to its end, by its mark, or by the clock when a mark is missing."""
        for sentence in self.sentences:
            if not sentence.complete or sentence.sent < len(sentence.audio):
                return False
            if sentence.sent and not sentence.marked and now_ms < self._buffer_ends_at_ms + MARK_GRACE_MS:
                return False
        return True

    def silent_since_ms(self, now_ms: float, since_ms: float) -> float | None:
        """Since when nothing sounds although sentences are missing; None while all is well."""
        if self.paused or self.is_audible(now_ms) or not self.unconfirmed():
            return None
        return max(since_ms, self._buffer_ends_at_ms)

    def is_audible(self, now_ms: float) -> bool:
        return now_ms < self._buffer_ends_at_ms

    @property
    def audible_until_ms(self) -> float:
        """When the last audio that was sent ends, or has ended, at the caller's ear."""
        return self._buffer_ends_at_ms

    def aside_sounds(self, now_ms: float) -> bool:
        return any(s.aside and s.heard_bytes(now_ms) < len(s.audio) for s in self.sentences)

    def heard_ms(self, now_ms: float) -> float:
        """How much of the answer has been heard."""
        return sum(s.heard_bytes(now_ms) for s in self.sentences if not s.aside) / BYTES_PER_MS

    def unheard_ms(self, now_ms: float) -> float:
        """How much of the answer has not been heard; infinite while audio of it is missing."""
        said = [s for s in self.sentences if not s.aside]
        if any(not s.complete for s in said):
            return inf
        return sum(len(s.audio) - s.heard_bytes(now_ms) for s in said) / BYTES_PER_MS

    def unconfirmed(self) -> list[Sentence]:
        return [s for s in self.sentences if not s.complete]

    def heard_text(self, now_ms: float) -> str:
        said = (s.heard_text(now_ms) for s in self.sentences if not s.aside)
        return " ".join(filter(None, said))

    def _replace(self, sentence: Sentence, epoch: int, now_ms: float) -> list[Sending]:
        effects: list[Sending] = []
        if sentence.sent:
            effects = self._rewind(now_ms)
        sentence.epoch = epoch
        sentence.audio.clear()
        sentence.played.clear()
        sentence.sent = 0
        sentence.mark_sent = False
        sentence.total = None
        return effects

    def _rewind(self, now_ms: float) -> list[Sending]:
        """Take back what was sent and not heard, so that it can be sent again."""
        effects = self.clear(now_ms)
        if effects:
            for sentence in self.sentences:
                if not sentence.marked:
                    sentence.sent = sum(size for _, size in sentence.played)
                    sentence.mark_sent = False
        return effects

    def _count(self, sentence: Sentence, size: int, now_ms: float) -> None:
        if self.first_audio_at_ms is None and not sentence.aside:
            self.first_audio_at_ms = now_ms
        starts_at_ms = max(self._buffer_ends_at_ms, now_ms)
        if sentence.sent and starts_at_ms > self._buffer_ends_at_ms:
            TORN.observe((starts_at_ms - self._buffer_ends_at_ms) / 1000)
        sentence.played.append((starts_at_ms, size))
        sentence.sent += size
        self._buffer_ends_at_ms = starts_at_ms + size / BYTES_PER_MS

    def _find(self, turn: int, number: int) -> Sentence | None:
        return next((s for s in self.sentences if s.turn == turn and s.number == number), None)

    def _mark(self, sentence: Sentence) -> str:
        return f"{sentence.turn}:{sentence.number}:{self._generation}"
