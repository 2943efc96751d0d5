"""Which run of the model an opened turn gets."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest

from callbot.dialog_worker.foreseeing import Foreseeing, words_of
from callbot.dialog_worker.suggestion import Suggestion
from callbot.runtime.errors import ProviderError
from callbot.schemas.dialog import TurnForeseen, TurnOpened
from callbot.schemas.webhook import HistoryEntry

NEVER_S = 60.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A table for four", "a  table, for FOUR!", True),
        ("Yes.", "yes", True),
        ("Well... yes?", "well yes", True),
        ("four-thirty", "four thirty", True),
        ("I don't know", "I don’t know", True),
        ("I don't know", "i dont know", True),
        ("Straße", "STRASSE", True),
        ("ｆｏｕｒ", "four", True),
        ("मैं ठीक हूँ।", "मैं ठीक हूँ", True),
        ("¿Qué tal?", "qué tal", True),
        ("你好。", "你好", True),
        ("A table for four", "A table for forty", False),
        ("A table", "A table for four", False),
        ("750", "7.50", False),
        ("5%", "5", False),
        ("$5", "5", False),
        ("a part", "apart", False),
        ("me@example.com", "me example.com", False),
        ("मैं", "मो", False),
        ("si", "sí", False),
    ],
)
def test_the_same_words(one: str, other: str, same: bool) -> None:
    assert (words_of(one) == words_of(other)) is same


@pytest.mark.parametrize("text", ["", " \n", "...", "?!", "'", "—"])
def test_no_words(text: str) -> None:
    assert words_of(text) == ()


class Models:
    """Runs of a model that end when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []
        self.stopped: list[str] = []
        self.may_end = asyncio.Event()
        self.fails = False

    def start(self, number: int, history: Sequence[HistoryEntry], user_text: str) -> Suggestion:
        self.asked.append((number, user_text))
        return Suggestion(self._reply(user_text), max_sentences=3)

    async def _reply(self, user_text: str) -> AsyncGenerator[str]:
        if self.fails:
            raise ProviderError("llm_refused", "HTTP 429", retryable=True)
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped.append(user_text)
            raise
        yield "Sure."


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
async def foreseeing(models: Models) -> Foreseeing:
    return Foreseeing(models.start, kept_s=NEVER_S)


def foreseen(number: int, text: str) -> TurnForeseen:
    return TurnForeseen(epoch=1024, number=number, user_text=text, history=[])


async def settle() -> None:
    """What is ready to run has run."""
    for _ in range(10):
        await asyncio.sleep(0)


Steps = Callable[[Foreseeing], None]
STORIES: dict[str, tuple[list[Steps], str, list[str]]] = {
    # What happens; what the turn 3 with "four at seven" gets; which runs are stopped.
    "nothing was foreseen": ([], "none", []),
    "the same words": ([lambda f: f.foresee(foreseen(3, "Four, at seven."))], "used", []),
    "the same words, foreseen twice": (
        [
            lambda f: f.foresee(foreseen(3, "Four at seven")),
            lambda f: f.foresee(foreseen(3, "four at seven.")),
        ],
        "used",
        [],
    ),
    "other words": ([lambda f: f.foresee(foreseen(3, "Four"))], "restarted", ["Four"]),
    "more words, foreseen in time": (
        [lambda f: f.foresee(foreseen(3, "Four")), lambda f: f.foresee(foreseen(3, "Four at seven"))],
        "used",
        ["Four"],
    ),
    "no words": ([lambda f: f.foresee(foreseen(3, "..."))], "none", []),
    "no words any more": (
        [lambda f: f.foresee(foreseen(3, "Four at seven")), lambda f: f.foresee(foreseen(3, "..."))],
        "none",
        ["Four at seven"],
    ),
    "withdrawn": (
        [lambda f: f.foresee(foreseen(3, "Four at seven")), lambda f: f.withdraw(3)],
        "none",
        ["Four at seven"],
    ),
    "withdrawn and foreseen again": (
        [
            lambda f: f.foresee(foreseen(3, "Four")),
            lambda f: f.withdraw(3),
            lambda f: f.foresee(foreseen(3, "Four at seven")),
        ],
        "used",
        ["Four"],
    ),
    "another turn withdrawn": (
        [lambda f: f.foresee(foreseen(3, "Four at seven")), lambda f: f.withdraw(2)],
        "used",
        [],
    ),
    "the turn before is cancelled": (
        [lambda f: f.foresee(foreseen(3, "Four at seven")), lambda f: f.cancel_up_to(2)],
        "used",
        [],
    ),
    "cancelled": (
        [lambda f: f.foresee(foreseen(3, "Four at seven")), lambda f: f.cancel_up_to(4)],
        "none",
        ["Four at seven"],
    ),
    "an older turn": (
        [lambda f: f.foresee(foreseen(2, "Four at seven"))],
        "none",
        ["Four at seven"],
    ),
    "an older turn after this one": (
        [lambda f: f.foresee(foreseen(3, "Four at seven")), lambda f: f.foresee(foreseen(2, "What?"))],
        "used",
        [],
    ),
    "a newer turn": ([lambda f: f.foresee(foreseen(4, "Four at seven"))], "none", []),
}


@pytest.mark.parametrize(("story", "speculation", "stopped"), STORIES.values(), ids=STORIES.keys())
async def test_what_an_opened_turn_gets(
    foreseeing: Foreseeing,
    models: Models,
    turn_with: Callable[..., TurnOpened],
    story: list[Steps],
    speculation: str,
    stopped: list[str],
) -> None:
    for step in story:
        step(foreseeing)
        await settle()
    thought = foreseeing.think(turn_with(3, user_text="four at seven"))
    await settle()
    assert (thought.speculation, models.stopped) == (speculation, stopped)
    assert thought.won_ms == 0 or speculation == "used"
    assert models.asked[-1][0] == 3 or foreseeing.used == 0
    assert len(models.asked) == foreseeing.started + (speculation != "used")
    models.may_end.set()
    await thought.suggestion.wait_complete(NEVER_S)
    assert thought.suggestion.text == "Sure."
    await foreseeing.close()
    assert foreseeing.started == foreseeing.used + foreseeing.thrown_away


async def test_a_turn_that_does_not_come_is_given_up(models: Models) -> None:
    foreseeing = Foreseeing(models.start, kept_s=0.01)
    foreseeing.foresee(foreseen(3, "Four"))
    async with asyncio.timeout(5):
        while not models.stopped:
            await asyncio.sleep(0.005)
    assert (foreseeing.started, foreseeing.thrown_away) == (1, 1)


async def test_a_run_that_has_failed_is_begun_again(
    foreseeing: Foreseeing, models: Models, turn_with: Callable[..., TurnOpened]
) -> None:
    models.fails = True
    foreseeing.foresee(foreseen(3, "Four"))
    await settle()
    foreseeing.foresee(foreseen(3, "Four"))
    await settle()
    assert len(models.asked) == 2
    models.fails = False
    thought = foreseeing.think(turn_with(3, user_text="Four."))
    assert (thought.speculation, thought.won_ms) == ("restarted", 0)
    models.may_end.set()
    await thought.suggestion.wait_complete(NEVER_S)
    assert thought.suggestion.text == "Sure."


async def test_what_a_complete_run_has_won_is_its_whole_time(
    foreseeing: Foreseeing, models: Models, turn_with: Callable[..., TurnOpened]
) -> None:
    models.may_end.set()
    foreseeing.foresee(foreseen(3, "Four"))
    await settle()
    thought = foreseeing.think(turn_with(3, user_text="four"))
    assert thought.won_ms == thought.suggestion.ms == foreseeing.won_ms


async def test_the_end_of_a_call_stops_the_model(foreseeing: Foreseeing, models: Models) -> None:
    foreseeing.foresee(foreseen(3, "Four"))
    await settle()
    await foreseeing.close()
    assert models.stopped == ["Four"]
