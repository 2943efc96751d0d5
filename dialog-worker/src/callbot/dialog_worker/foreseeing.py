"""Thinking ahead: the model runs for the turn that is probably coming, and is kept if its words come."""

import asyncio
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from callbot.dialog_worker.suggestion import Suggestion
from callbot.schemas.dialog import Speculation, TurnForeseen, TurnOpened
from callbot.schemas.webhook import HistoryEntry

_APOSTROPHES = "'’ʼ`´"
_SYMBOLS = "%&@#*/"
"""Punctuation to Unicode, words to a caller: "5%" is not "5"."""

Start = Callable[[int, Sequence[HistoryEntry], str], Suggestion]
"""Runs the model for a turn: its number, the history before it, what the caller said."""


def words_of(text: str) -> tuple[str, ...]:
    """What makes two transcripts the same to a model: case, punctuation and white space do not.

    Punctuation ends a word, but an apostrophe does not: "7.50" stays another price than "750".
    """
    kept = []
    for character in unicodedata.normalize("NFKC", text).casefold():
        if character in _APOSTROPHES:
            continue
        dropped = unicodedata.category(character)[0] in "PZC" and character not in _SYMBOLS
        kept.append(" " if dropped else character)
    return tuple("".join(kept).split())


@dataclass(frozen=True, slots=True)
class Thought:
    """A run of the model for an opened turn."""

    suggestion: Suggestion
    speculation: Speculation = "none"
    won_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class _Run:
    """A run for a turn that is not open yet."""

    number: int
    words: tuple[str, ...]
    suggestion: Suggestion
    began_s: float

    @property
    def failed(self) -> bool:
        return self.suggestion.complete and not self.suggestion.sentences

    @property
    def ran_ms(self) -> float:
        """Until now, or until it was complete."""
        so_far_ms = (time.monotonic() - self.began_s) * 1000
        return round(so_far_ms if self.suggestion.ms is None else self.suggestion.ms, 1)


class Foreseeing:
    """One call's run ahead of its turn; there is one at most. It never calls the webhook."""

    def __init__(self, start: Start, *, kept_s: float) -> None:
        """`kept_s`: a run whose turn is not opened within that time is stopped."""
        self._start = start
        self._kept_s = kept_s
        self._run: _Run | None = None
        self._forgetting: asyncio.TimerHandle | None = None
        self.started = self.used = self.thrown_away = 0
        self.won_ms = 0.0

    def foresee(self, turn: TurnForeseen) -> None:
        """The same words keep the run that there is; an older turn than that run's means nothing."""
        words, run = words_of(turn.user_text), self._run
        if run is not None:
            if turn.number < run.number:
                return
            if (turn.number, words) == (run.number, run.words) and not run.failed:
                self._keep_from_now()
                return
            self._throw_away()
        if words:
            suggestion = self._start(turn.number, turn.history, turn.user_text)
            self._run = _Run(turn.number, words, suggestion, time.monotonic())
            self.started += 1
            self._keep_from_now()

    def withdraw(self, number: int) -> None:
        if self._run is not None and self._run.number == number:
            self._throw_away()

    def cancel_up_to(self, number: int) -> None:
        """These turns are over."""
        if self._run is not None and self._run.number <= number:
            self._throw_away()

    def think(self, turn: TurnOpened) -> Thought:
        """The run for an opened turn: the one there is if it began with the same words, else a new one.

        One that has failed meanwhile is begun again, too. The caller stops what it gets.
        """
        run = self._run
        if run is not None and run.number == turn.number:
            if run.words == words_of(turn.user_text) and not run.failed:
                self._take()
                self.used += 1
                self.won_ms += run.ran_ms
                return Thought(run.suggestion, "used", run.ran_ms)
            self._throw_away()
            return Thought(self._start(turn.number, turn.history, turn.user_text), "restarted")
        self.cancel_up_to(turn.number)
        return Thought(self._start(turn.number, turn.history, turn.user_text))

    async def close(self) -> None:
        if run := self._run:
            self._throw_away()
            await run.suggestion.stop()

    def _keep_from_now(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(self._kept_s, self._throw_away)

    def _take(self) -> _Run | None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        run, self._run, self._forgetting = self._run, None, None
        return run

    def _throw_away(self) -> None:
        run = self._take()
        if run is not None:
            self.thrown_away += 1
            run.suggestion.cancel()
