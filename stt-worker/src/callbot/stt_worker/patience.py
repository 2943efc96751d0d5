"""How long a caller may be silent before the turn is over: words, prosody and the bot's bounds. Pure."""

from typing import Final

from callbot.schemas.turn_taking import TurnTaking
from callbot.stt_worker.words import Completeness

UNKNOWN_MS: Final = 500
"""While neither words nor prosody are known."""
UNFINISHED_MS: Final = 900
DOUBTED_MS: Final = 600
"""The words are a whole sentence and it does not sound like it. Longer would be felt as a wait."""
SURE: Final = 0.8
LIKELY: Final = 0.5
UNLIKELY: Final = 0.15

WITHOUT_PROSODY: Final = {Completeness.DONE: 350, Completeness.UNSURE: 500}


def silence_wanted_ms(
    words: Completeness, finished: float | None, bounds: TurnTaking, *, told_over: bool = False
) -> tuple[int, str]:
    """The silence that ends the turn, and the signal that decided.

    `finished`: probability that the turn is over as its sound tells (Smart Turn), None where there is none.
    `told_over`: the recogniser says that it is.
    """
    wanted_ms, why = _wanted(words, finished, told_over)
    if wanted_ms == 0:
        return bounds.min_silence_ms, why
    longest_ms = max(bounds.min_silence_ms, bounds.max_silence_ms)
    if words is Completeness.COUNTING:
        return longest_ms, why
    return min(longest_ms, max(bounds.min_silence_ms, wanted_ms)), why


def _wanted(words: Completeness, finished: float | None, told_over: bool) -> tuple[int, str]:
    """Milliseconds, 0 for the shortest."""
    if words is Completeness.COUNTING:
        return UNFINISHED_MS, "counting"
    if words is Completeness.INCOMPLETE:
        return UNFINISHED_MS, "words"
    if told_over and (finished is None or finished < SURE):
        # It has heard the same sound; where that says the opposite, neither is believed wholly.
        doubted = finished is not None and finished < UNLIKELY
        return _as_it_sounds(words, LIKELY if doubted else SURE)[0], "provider"
    if finished is None:
        return WITHOUT_PROSODY[words], "words"
    return _as_it_sounds(words, finished)


def _as_it_sounds(words: Completeness, finished: float) -> tuple[int, str]:
    if finished < UNLIKELY:
        return (DOUBTED_MS if words is Completeness.DONE else UNFINISHED_MS), "prosody"
    if finished < LIKELY:
        return (550 if words is Completeness.DONE else 700), "prosody"
    if finished < SURE:
        return (350 if words is Completeness.DONE else 450), "prosody"
    return (0 if words is Completeness.DONE else 350), "all"
