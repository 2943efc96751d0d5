"""What both versions of Google's streaming recognition have in common: what is sent, what comes back.

https://cloud.google.com/speech-to-text/docs/reference/rpc/google.cloud.speech.v2#streamingrecognizerequest
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

MOST_PHRASES: Final = 500
LONGEST_PHRASE: Final = 100
MOST_CHARACTERS: Final = 10_000
"""https://cloud.google.com/speech-to-text/quotas, "speech adaptation"."""
REGIONS: Final = {
    "de": "de-DE",
    "en": "en-US",
    "es": "es-US",
    "fr": "fr-FR",
    "hi": "hi-IN",
    "it": "it-IT",
    "ja": "ja-JP",
    "ko": "ko-KR",
    "nl": "nl-NL",
    "pt": "pt-BR",
}
"""Google wants a region; most calls of these languages come from there."""
ADAPTATION: Final = "adaptation"
WORD_TIMES: Final = "word_time_offsets"
SPEECH_ENDED: Final = 3
"""SPEECH_ACTIVITY_END, the same number in both versions."""


@dataclass(frozen=True, slots=True)
class TimedWord:
    """Milliseconds of the stream."""

    text: str
    from_ms: float
    to_ms: float


@dataclass(frozen=True, slots=True)
class Result:
    text: str
    to_ms: float
    """Of the stream; 0: not told."""
    final: bool
    stability: float
    words: Sequence[TimedWord]


@dataclass(frozen=True, slots=True)
class Response:
    results: Sequence[Result]
    """At most one final one, in front of those that may change; these belong together."""
    speech_ended: bool
    error_code: int = 0
    """A status of gRPC, where the version tells errors within responses."""


class Dialect(Protocol):
    """One version of the interface. Bytes are whole messages."""

    method: str

    def opening(self, language: str, hints: Sequence[str], refused: Iterable[str]) -> bytes:
        """The first message. `refused`: features (`ADAPTATION`, `WORD_TIMES`) that are left out."""

    def audio(self, audio: bytes) -> bytes:
        """Every further message; at most 15 KB of audio."""

    def response(self, data: bytes) -> Response:
        """Raises ValueError when it is none."""


def regional(language: str) -> str:
    return REGIONS.get(language.lower(), language)


def phrases(hints: Sequence[str]) -> list[str]:
    """Within the limits of one request."""
    taken: list[str] = []
    characters = 0
    for hint in dict.fromkeys(h.strip() for h in hints):
        characters += len(hint)
        if characters > MOST_CHARACTERS or len(taken) >= MOST_PHRASES:
            break
        if 0 < len(hint) <= LONGEST_PHRASE:
            taken.append(hint)
    return taken


def result(told: Any, to: str, begins: str, ends: str) -> Result:
    """Of a protobuf message; the names of its times differ between the versions."""
    best = told.alternatives[0] if told.alternatives else None
    words = [] if best is None else best.words
    return Result(
        text="" if best is None else best.transcript,
        to_ms=_ms(getattr(told, to)),
        final=told.is_final,
        stability=told.stability,
        words=tuple(TimedWord(w.word, _ms(getattr(w, begins)), _ms(getattr(w, ends))) for w in words),
    )


def _ms(duration: Any) -> float:
    return float(duration.seconds * 1000 + duration.nanos / 1_000_000)
