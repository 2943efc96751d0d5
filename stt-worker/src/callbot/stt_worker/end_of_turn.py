"""Speech probabilities and levels of one call in, the course of its turns out. Pure: no clock, no I/O.

SILENT   ── loud voice for BEGIN_MS ───▶ SPEAKING
SPEAKING ── silent for quiet_ms ───────▶ QUIET
QUIET    ── voiced for RESUME_MS ──────▶ SPEAKING
QUIET    ── silent as `wait_until` ────▶ SILENT: the turn has ended
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

SPEECH_FROM: Final = 0.5
"""Silero's own threshold."""
CLEAR_FROM: Final = 0.6
"""Two chunks above it are speech; between the thresholds they may be a cough, three are not."""
GOES_ON_FROM: Final = 0.35
"""As Silero does it: what has begun goes on below the threshold of beginning."""
LOUD_FROM_DBFS: Final = -38.0
"""Our own voice comes back 30 dB quieter, its loudest chunks at -40; a quiet caller's are at -34."""
FADED_DB: Final = 40.0
"""So far below its loudest chunk a sound is over, while the detector still remembers it for 80 ms."""
BEGIN_MS: Final = 96
CLEAR_BEGIN_MS: Final = 64
"""A click lasts one chunk of 32 ms, the vowel of "no" five."""
RESUME_MS: Final = 64
QUIET_MS: Final = 32
"""A stop consonant closes for 50 to 100 ms: most of these silences are inside words, and cost
a decode each."""
BUSY_QUIET_MS: Final = 64
"""Where decodes are dear: fewer of these silences are inside a word."""
STAYED_MS: Final = 96
"""Hardly one of these is inside a word."""
SILENT_DBFS: Final = -100.0
LEAD_MS: Final = 300
"""Kept before the first voiced chunk: soft consonants lie there."""
LONG_SHARE: Final = 0.9
"""Past this share of the longest utterance the next short pause ends it, rather than a cut within a word."""


@dataclass(frozen=True, slots=True)
class Began:
    from_ms: int
    """Its lead included."""
    voiced_from_ms: int


@dataclass(frozen=True, slots=True)
class WentQuiet:
    """Maybe the end: this range is worth decoding now."""

    from_ms: int
    to_ms: int
    speech_ended_at_ms: int
    voiced_ms: int


@dataclass(frozen=True, slots=True)
class StayedQuiet:
    """The silence is no part of a word: what was decoded may be thought about."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The silence was a pause; what was decoded of it is not the whole turn."""

    voiced_from_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    from_ms: int
    speech_ended_at_ms: int
    ended_at_ms: int
    voiced_ms: int


Happening = Began | WentQuiet | StayedQuiet | Resumed | Ended


class _State(Enum):
    SILENT = auto()
    SPEAKING = auto()
    QUIET = auto()


class EndOfTurn:
    """Feed it every chunk in order; at most one thing happens at each."""

    def __init__(
        self, *, longest_silence_ms: int = 1500, max_utterance_ms: int = 20_000, from_ms: int = 0
    ) -> None:
        """`longest_silence_ms` holds until `wait_until` knows better, anew at every silence."""
        self.quiet_ms = QUIET_MS
        """What comes after so much silence is worth decoding."""
        self._longest_silence_ms = self._wanted_ms = longest_silence_ms
        self._max_utterance_ms = max_utterance_ms
        self._state = _State.SILENT
        self._settled_ms = from_ms
        self._last_ms = from_ms
        self._voiced_since_ms: int | None = None
        self._clear = False
        self._from_ms = from_ms
        self._speech_ended_at_ms = from_ms
        self._voiced_ms = 0
        self._loudest_dbfs = SILENT_DBFS
        self._stayed = False

    @property
    def in_progress_from_ms(self) -> int | None:
        """Where the utterance in progress began, its lead included."""
        return None if self._state is _State.SILENT else self._from_ms

    @property
    def is_speaking(self) -> bool:
        return self._state is _State.SPEAKING

    def wait_until(self, silence_ms: int) -> Ended | None:
        """In this silence the turn ends after so much of it; now, when that much has passed."""
        if self._state is not _State.QUIET:
            return None
        self._wanted_ms = silence_ms
        silent_ms = self._last_ms - self._speech_ended_at_ms
        return self._end(self._last_ms) if self._voiced_since_ms is None and silent_ms >= silence_ms else None

    def hear(self, end_ms: int, probability: float, level_dbfs: float) -> Happening | None:
        """One chunk that ends at `end_ms`; it began where the one before it ended."""
        begin_ms, self._last_ms = self._last_ms, end_ms
        if not self._is_voice(probability, level_dbfs):
            self._voiced_since_ms = None
        elif self._voiced_since_ms is None:
            self._voiced_since_ms, self._clear = begin_ms, probability >= CLEAR_FROM
        else:
            self._clear &= probability >= CLEAR_FROM
        match self._state:
            case _State.SILENT:
                return self._while_silent(end_ms, level_dbfs)
            case _State.SPEAKING:
                return self._while_speaking(begin_ms, end_ms, level_dbfs)
            case _State.QUIET:
                return self._while_quiet(begin_ms, end_ms)

    def _is_voice(self, probability: float, level_dbfs: float) -> bool:
        match self._state:
            case _State.SILENT:
                return probability >= SPEECH_FROM and level_dbfs >= LOUD_FROM_DBFS
            case _State.SPEAKING:
                return probability >= GOES_ON_FROM and not self._faded(level_dbfs)
            case _State.QUIET:
                return probability >= SPEECH_FROM and not self._faded(level_dbfs)

    def _faded(self, level_dbfs: float) -> bool:
        return level_dbfs < self._loudest_dbfs - FADED_DB

    def _while_silent(self, end_ms: int, level_dbfs: float) -> Happening | None:
        since_ms = self._voiced_since_ms
        if since_ms is None or end_ms - since_ms < (CLEAR_BEGIN_MS if self._clear else BEGIN_MS):
            return None
        self._state = _State.SPEAKING
        self._from_ms = max(self._settled_ms, since_ms - LEAD_MS)
        self._speech_ended_at_ms = end_ms
        self._voiced_ms = end_ms - since_ms
        self._loudest_dbfs = level_dbfs
        return Began(self._from_ms, since_ms)

    def _while_speaking(self, begin_ms: int, end_ms: int, level_dbfs: float) -> Happening | None:
        if self._voiced_since_ms is not None:
            self._loudest_dbfs = max(self._loudest_dbfs, level_dbfs)
            self._speech_ended_at_ms = end_ms
            self._voiced_ms += end_ms - begin_ms
            return self._end(end_ms) if end_ms - self._from_ms >= self._max_utterance_ms else None
        if end_ms - self._speech_ended_at_ms < self.quiet_ms:
            return None
        self._state = _State.QUIET
        self._stayed = False
        self._wanted_ms = self._longest_silence_ms
        return WentQuiet(self._from_ms, end_ms, self._speech_ended_at_ms, self._voiced_ms)

    def _while_quiet(self, begin_ms: int, end_ms: int) -> Happening | None:
        since_ms = self._voiced_since_ms
        if since_ms is None:
            return self._still_quiet(end_ms)
        if end_ms - since_ms < RESUME_MS:
            return None
        self._state = _State.SPEAKING
        self._speech_ended_at_ms = end_ms
        self._voiced_ms += end_ms - since_ms
        return Resumed(since_ms)

    def _still_quiet(self, end_ms: int) -> Happening | None:
        silent_ms = end_ms - self._speech_ended_at_ms
        is_long = end_ms - self._from_ms >= LONG_SHARE * self._max_utterance_ms
        if silent_ms >= (min(BUSY_QUIET_MS, self._wanted_ms) if is_long else self._wanted_ms):
            return self._end(end_ms)
        if self._stayed or silent_ms < STAYED_MS:
            return None
        self._stayed = True
        return StayedQuiet()

    def _end(self, end_ms: int) -> Ended:
        self._state = _State.SILENT
        self._voiced_since_ms = None
        self._settled_ms = end_ms
        return Ended(self._from_ms, self._speech_ended_at_ms, end_ms, self._voiced_ms)
