"""Words with their time in the call: which of them lie in a stretch."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A text, and the stretch that it is the whole text of."""

    from_ms: int
    to_ms: int
    text: str
    words: Sequence[Word]
    """Empty: the vendor has not told when each was said."""


def text_between(segments: Sequence[Segment], from_ms: int, to_ms: float) -> str:
    """What was said there. A word at the edge belongs to where its middle lies."""
    parts = (_part(segment, from_ms, to_ms) for segment in segments)
    return " ".join(part for part in parts if part)


def _part(segment: Segment, from_ms: int, to_ms: float) -> str:
    if not segment.words:
        middle_ms = (segment.from_ms + segment.to_ms) / 2
        return segment.text.strip() if from_ms <= middle_ms < to_ms else ""
    inside = [w for w in segment.words if from_ms <= (w.from_ms + w.to_ms) / 2 < to_ms]
    # The text itself where it is all there: not every language puts spaces between its words.
    text = segment.text if len(inside) == len(segment.words) else " ".join(w.text for w in inside)
    return text.strip()
