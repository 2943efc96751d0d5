"""What Deepgram's servers understand here: the words that text-carrying audio carries, and their times."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from callbot.schemas.audio import BYTES_PER_MS, SILENCE_BYTE
from callbot.schemas.text_audio import MARKER, texts_in

SILENCE = bytes([SILENCE_BYTE])
LONGEST_PACKED = 8000


@dataclass(frozen=True)
class HeardWord:
    text: str
    begin: int
    end: int
    """Bytes of the connection's audio."""

    @property
    def middle(self) -> float:
        return (self.begin + self.end) / 2

    def told(self) -> dict[str, Any]:
        begin_s, end_s = seconds(self.begin), seconds(self.end)
        return {"word": self.text, "start": begin_s, "end": end_s, "confidence": 0.98}


class Hearing:
    """The audio of one connection. A word belongs to where its middle lies, however the audio is cut."""

    def __init__(self, ms_per_character: int) -> None:
        self._bytes_per_character = ms_per_character * BYTES_PER_MS
        self._audio = bytearray()
        self._unread_from = 0
        self._words: list[HeardWord] = []
        self.voiced_to = 0

    def __len__(self) -> int:
        return len(self._audio)

    def add(self, audio: bytes) -> None:
        if voiced := audio.rstrip(SILENCE):
            self.voiced_to = len(self._audio) + len(voiced)
        self._audio += audio
        while (at := self._audio.find(MARKER, self._unread_from)) >= 0:
            text = next(texts_in(bytes(self._audio[at : at + LONGEST_PACKED])), None)
            if text is None:
                if len(self._audio) - at < LONGEST_PACKED:
                    return
                self._unread_from = at + len(MARKER)
                continue
            self._words += self._placed(text, at)
            self._unread_from = at + len(MARKER)

    def between(self, begin: int, end: int) -> list[HeardWord]:
        return [word for word in self._words if begin <= word.middle < end]

    def is_voiced(self, begin: int) -> bool:
        """Is there sound from there on?"""
        return self.voiced_to > begin

    def silent_ms(self, now: int) -> int:
        return max(0, now - self.voiced_to) // BYTES_PER_MS

    def _placed(self, text: str, at: int) -> Iterable[HeardWord]:
        characters = 0
        for word in text.split(" "):
            begin = at + characters * self._bytes_per_character
            yield HeardWord(word, begin, begin + len(word) * self._bytes_per_character)
            characters += len(word) + 1


def seconds(position: int) -> float:
    return position / BYTES_PER_MS / 1000


def transcript(words: Sequence[HeardWord]) -> str:
    return " ".join(word.text for word in words)
