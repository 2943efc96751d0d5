import pytest

from callbot.schemas.turn_taking import TurnTaking
from callbot.stt_worker.patience import silence_wanted_ms
from callbot.stt_worker.words import Completeness

DONE, UNSURE = Completeness.DONE, Completeness.UNSURE
INCOMPLETE, COUNTING = Completeness.INCOMPLETE, Completeness.COUNTING


@pytest.mark.parametrize(
    ("words", "finished", "silence_ms", "why"),
    [
        (DONE, 0.9, 250, "all"),
        (DONE, 0.6, 350, "prosody"),
        (DONE, 0.3, 550, "prosody"),
        (DONE, 0.1, 600, "prosody"),
        (DONE, None, 350, "words"),
        (UNSURE, 0.9, 350, "all"),
        (UNSURE, 0.6, 450, "prosody"),
        (UNSURE, 0.3, 700, "prosody"),
        (UNSURE, 0.1, 900, "prosody"),
        (UNSURE, None, 500, "words"),
        (INCOMPLETE, 0.99, 900, "words"),
        (INCOMPLETE, None, 900, "words"),
        (COUNTING, 0.99, 1500, "counting"),
        (COUNTING, None, 1500, "counting"),
    ],
)
def test_how_long_is_waited(words: Completeness, finished: float | None, silence_ms: int, why: str) -> None:
    assert silence_wanted_ms(words, finished, TurnTaking()) == (silence_ms, why)


@pytest.mark.parametrize(
    ("words", "finished", "silence_ms", "why"),
    [
        (DONE, None, 250, "provider"),
        (DONE, 0.9, 250, "all"),
        (DONE, 0.3, 250, "provider"),
        (DONE, 0.1, 350, "provider"),
        (UNSURE, None, 350, "provider"),
        (UNSURE, 0.6, 350, "provider"),
        (UNSURE, 0.1, 450, "provider"),
        # What cannot be a whole sentence is none, whoever says so.
        (INCOMPLETE, None, 900, "words"),
        (COUNTING, 0.99, 1500, "counting"),
    ],
)
def test_the_recogniser_may_say_that_it_is_over(
    words: Completeness, finished: float | None, silence_ms: int, why: str
) -> None:
    assert silence_wanted_ms(words, finished, TurnTaking(), told_over=True) == (silence_ms, why)


@pytest.mark.parametrize("finished", [None, 0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("words", Completeness)
def test_its_opinion_never_makes_the_silence_longer(words: Completeness, finished: float | None) -> None:
    told, _ = silence_wanted_ms(words, finished, TurnTaking(), told_over=True)
    assert told <= silence_wanted_ms(words, finished, TurnTaking())[0]


@pytest.mark.parametrize(
    ("words", "finished", "least", "most", "silence_ms"),
    [
        (DONE, 0.9, 600, 1500, 600),
        (DONE, 0.3, 600, 1500, 600),
        (DONE, 0.1, 200, 550, 550),
        (INCOMPLETE, None, 200, 700, 700),
        (COUNTING, None, 200, 3000, 3000),
        # The least wins where the bounds contradict each other.
        (COUNTING, None, 800, 400, 800),
        (DONE, 0.9, 800, 400, 800),
    ],
)
def test_the_bot_sets_the_bounds(
    words: Completeness, finished: float, least: int, most: int, silence_ms: int
) -> None:
    bounds = TurnTaking(min_silence_ms=least, max_silence_ms=most)
    assert silence_wanted_ms(words, finished, bounds)[0] == silence_ms
