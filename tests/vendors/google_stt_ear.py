"""What Google's servers understand here: the words that audio carries, as one stream hears them.

A word that a stream hears the beginning of but not the end is told torn, and so is a sound that had begun
before the stream: whoever parts audio within a word shows it. Pure; a step is 100 ms of audio.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from callbot.schemas.audio import BYTES_PER_MS, SILENCE_BYTE
from callbot.schemas.text_audio import MARKER, texts_in

STEP = 100 * BYTES_PER_MS
SILENCE = bytes([SILENCE_BYTE])
LONGEST_PACKED = 2000
TORN = "~"
ENDED_MS = 300


@dataclass(frozen=True)
class HeardWord:
    text: str
    begin: int
    end: int
    """Bytes of the stream's audio."""


@dataclass(frozen=True)
class Voice:
    began: bool
    at_ms: float


@dataclass(frozen=True)
class Understood:
    """One result, or two that belong together: what is stable, and the rest."""

    final: bool
    parts: tuple[tuple[str, float], ...]
    """Transcript and stability."""
    to_ms: float
    words: tuple[HeardWord, ...] = ()


Happening = Voice | Understood


class Ear:
    def __init__(self, *, ms_per_character: int, endpoint_ms: int, longest_speech_ms: int) -> None:
        """`endpoint_ms`: after so much silence it settles without being asked."""
        self._longest_speech = longest_speech_ms * BYTES_PER_MS
        self._bytes_per_character = ms_per_character * BYTES_PER_MS
        self._endpoint_ms = endpoint_ms
        self._audio = bytearray()
        self._at = 0
        self._unread = 0
        self._open: list[HeardWord] = []
        self._told = ""
        self._loud_until = -1
        self._voiced = False
        self._torn_from: int | None = None

    @property
    def ms(self) -> int:
        return len(self._audio) // BYTES_PER_MS

    def hear(self, audio: bytes) -> Iterator[Happening]:
        if not self._audio and audio and audio[0] != SILENCE_BYTE and not audio.startswith(MARKER):
            self._torn_from = 0
        self._audio += audio
        while len(self._audio) - self._at >= STEP:
            yield from self._step(self._at, self._at + STEP)
            self._at += STEP

    def finish(self) -> Iterator[Happening]:
        """No more will come."""
        self._read(len(self._audio))
        yield from self._settle(self._open, len(self._audio))

    def _step(self, begin: int, end: int) -> Iterator[Happening]:
        self._read(end)
        if voiced := bytes(self._audio[begin:end]).rstrip(SILENCE):
            self._loud_until = begin + len(voiced)
            if not self._voiced:
                self._voiced = True
                yield Voice(True, begin / BYTES_PER_MS)
        silent_ms = (end - self._loud_until) // BYTES_PER_MS
        if self._voiced and silent_ms >= ENDED_MS:
            self._voiced = False
            yield Voice(False, self._loud_until / BYTES_PER_MS)
        if self._open and silent_ms >= self._endpoint_ms:
            yield from self._settle(self._open, end)
        elif self._open and end - self._open[0].begin > self._longest_speech:
            whole = [w for w in self._open if w.end <= end]
            if whole:
                yield from self._settle(whole, whole[-1].end)
        elif self._open:
            yield from self._guess(end)

    def _guess(self, end: int) -> Iterator[Happening]:
        stable = " ".join(w.text for w in self._open if w.end <= end)
        rest = " ".join(w.text for w in self._open if w.end > end)
        parts = [(stable, 0.9)] if stable else []
        if rest:
            parts.append((f" {rest}" if stable else rest, 0.01))
        if (told := f"{stable}|{rest}") != self._told:
            self._told = told
            yield Understood(False, tuple(parts), end / BYTES_PER_MS)

    def _settle(self, words: list[HeardWord], end: int) -> Iterator[Happening]:
        self._told = ""
        self._open = [w for w in self._open if w not in words]
        told = [w if w.end <= end else _torn(w, end) for w in words if w.begin < end]
        if told:
            text = " ".join(w.text for w in told)
            yield Understood(True, ((text, 0.0),), end / BYTES_PER_MS, tuple(told))

    def _read(self, end: int) -> None:
        """Words whose text has been heard until there."""
        while True:
            at = self._audio.find(MARKER, self._unread, end)
            self._end_torn(at if at >= 0 else end)
            if at < 0:
                # A marker may lie across the edge.
                self._unread = max(self._unread, end - len(MARKER) + 1)
                return
            text = next(texts_in(bytes(self._audio[at : min(end, at + LONGEST_PACKED)])), None)
            if text is None and end - at < LONGEST_PACKED:
                self._unread = at
                return
            self._unread = at + len(MARKER)
            if text is not None:
                self._open += self._placed(text, at)

    def _end_torn(self, at: int) -> None:
        """The sound that had begun before the stream is over where the next word or silence begins."""
        begin = self._torn_from
        if begin is None:
            return
        silence = self._audio.find(SILENCE, begin, at)
        if silence >= 0 or self._audio.find(MARKER, begin, at + len(MARKER)) >= 0:
            self._open.append(HeardWord(TORN, begin, at if silence < 0 else silence))
            self._torn_from = None

    def _placed(self, text: str, at: int) -> Iterator[HeardWord]:
        packed = len(MARKER) + 2 * (2 + len(text.encode()) + 4)
        end = at + max(packed, len(text) * self._bytes_per_character)
        characters = 0
        for word in text.split(" "):
            begin = at + characters * self._bytes_per_character
            characters += len(word) + 1
            last = characters > len(text)
            yield HeardWord(word, begin, end if last else begin + len(word) * self._bytes_per_character)


def _torn(word: HeardWord, end: int) -> HeardWord:
    return HeardWord(f"{word.text[: len(word.text) // 2]}{TORN}", word.begin, end)
