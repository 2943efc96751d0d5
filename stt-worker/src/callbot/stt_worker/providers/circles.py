"""A decoder that runs in circles: it says again what it has said. Pure."""

from collections.abc import Sequence
from typing import Final

BEGUN_ANEW: Final = 3
"""So many words from the beginning, said again at the end, are no chance."""


def begins_anew(words: Sequence[str]) -> bool:
    """Does it end with its own beginning, whole or not? Nobody speaks so; Whisper does in a short window."""
    return any(
        list(words[at:]) == list(words[: len(words) - at])
        for at in range(BEGUN_ANEW, len(words) - BEGUN_ANEW + 1)
    )


def repeats(tokens: tuple[int, ...]) -> int:
    """How often the end says the same thing (of at least two tokens, or one said four times over)."""
    most = 1
    for size in range(1, len(tokens) // 2 + 1):
        times = _tail_repeats(tokens, size)
        if times >= (4 if size == 1 else 2):
            most = max(most, times)
    return most


def _tail_repeats(tokens: tuple[int, ...], size: int) -> int:
    tail = tokens[-size:]
    times = 1
    while tokens[-size * (times + 1) : -size * times] == tail:
        times += 1
    return times


def once(tokens: tuple[int, ...]) -> tuple[int, ...]:
    """A text that ends in circles, with the circle run once."""
    for size in range(1, len(tokens) // 3 + 1):
        times = _tail_repeats(tokens, size)
        if times >= (4 if size == 1 else 3):
            return tokens[: len(tokens) - size * (times - 1)]
    return tokens
