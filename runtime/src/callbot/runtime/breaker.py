"""When a provider is left alone, and when it is tried again: a pure state machine, the clock is passed in.

closed ── 3 failures in a row, or one that will not pass ──> open ── its time is over ──> half open: one trial
   ^──────────────── success ────────────────────────────────┴──────── failure: open, for twice as long
"""

import math
from collections import deque
from typing import Final, Literal

from callbot.runtime.errors import ProviderError

State = Literal["closed", "open", "half_open"]

FAILURES: Final = 3
OPEN_S: Final = 5.0
LONGEST_OPEN_S: Final = 60.0
TRIAL_S: Final = 10.0
"""A trial that has not told its end by then is given to another."""
SAMPLES: Final = 100
ENOUGH_SAMPLES: Final = 20
REQUEST_CODES: Final = frozenset(
    {
        "unknown_voice",
        "ambiguous_voice",
        "voice_refused",
        "language_unknown",
        "bad_request",
        "too_long",
        "no_audio",
        "no_room",
        "content_refused",
        "truncated",
        "piper",
        "piper_died",
        "scripted_failure",
    }
)
"""The request was wrong, or wrong for this provider; it would serve another one.

`piper…` and `scripted…` are what the local voices say of a text that they cannot speak.
"""


def blames_provider(error: ProviderError) -> bool:
    """False: what was asked for is to blame, and says nothing about the provider's health."""
    return error.code not in REQUEST_CODES


class Breaker:
    """Of one provider. `now` is in seconds, of any clock that never goes back."""

    def __init__(
        self, *, failures: int = FAILURES, open_s: float = OPEN_S, longest_open_s: float = LONGEST_OPEN_S
    ) -> None:
        self._failures = failures
        self._open_s = open_s
        self._longest_open_s = longest_open_s
        self._failed_in_a_row = 0
        self._broken_in_a_row = 0
        self._first_ms: deque[float] = deque(maxlen=SAMPLES)
        self.state: State = "closed"
        self.until = 0.0
        """Open: until when it is left alone. Half open: until when the trial must be over."""
        self.opened_times = 0
        """In a row, without a success between."""
        self.reason = ""
        """The code of the last error that counted."""

    def may_try(self, now: float) -> bool:
        """Half open: True for one, until that one has told its end or its time is over.

        Who is told True tells one of `succeeded`, `failed`, `abandoned`.
        """
        if self.state == "closed":
            return True
        if now < self.until:
            return False
        self.state, self.until = "half_open", now + TRIAL_S
        return True

    def succeeded(self, now: float, first_ms: float) -> None:
        """There was a first result, after so many milliseconds."""
        self._first_ms.append(first_ms)
        self.state, self.until, self._failed_in_a_row = "closed", now, 0
        if not self._broken_in_a_row:
            self.opened_times, self.reason = 0, ""

    def failed(self, now: float, error: ProviderError) -> None:
        """An error, or its deadline. What began before the breaker opened changes nothing after it."""
        if not blames_provider(error):
            self.abandoned(now)
        elif self.state != "open":
            self._failed_in_a_row += 1
            self._weigh(now, error, self._failed_in_a_row)

    def finished(self) -> None:
        """After the first result all others came."""
        self._broken_in_a_row = 0
        if self.state == "closed":
            self.opened_times, self.reason = 0, ""

    def broken_off(self, now: float, error: ProviderError) -> None:
        """After the first result: a first result alone is no excuse for the next one that is broken off."""
        if blames_provider(error) and self.state != "open":
            self._broken_in_a_row += 1
            self._weigh(now, error, self._broken_in_a_row)

    def abandoned(self, now: float) -> None:
        """The attempt ended without telling anything about the provider: a trial may be made by another."""
        if self.state == "half_open":
            self.state, self.until = "open", now

    def outrun(self, waited_ms: float) -> None:
        """Another was faster. Counted where it was slow: else only the quick ones would make up the p95."""
        p95_ms = self.p95_ms()
        if p95_ms is not None and waited_ms >= p95_ms:
            self._first_ms.append(waited_ms)

    def p95_ms(self) -> float | None:
        """Of the last times to the first result; None while there are too few."""
        if len(self._first_ms) < ENOUGH_SAMPLES:
            return None
        return sorted(self._first_ms)[math.ceil(0.95 * len(self._first_ms)) - 1]

    def leave_alone(self, until: float, opened_times: int, reason: str) -> None:
        """Another worker has opened its own, or makes the trial."""
        self.state, self.until = "open", until
        self.opened_times, self.reason = opened_times, reason

    def close(self, now: float) -> None:
        """Another worker has seen that it works."""
        self.state, self.until = "closed", now
        self._failed_in_a_row, self.opened_times, self.reason = 0, 0, ""

    def _weigh(self, now: float, error: ProviderError, in_a_row: int) -> None:
        self.reason = error.code
        asked_s = error.retry_after_s or 0.0
        if not error.retryable:
            self._open(now, self._longest_open_s)
        elif asked_s > 0:
            self._open(now, asked_s)
        elif self.state == "half_open" or in_a_row >= self._failures:
            self._open(now, self._open_s)

    def _open(self, now: float, first_s: float) -> None:
        """So long, or twice as long as it would have been the time before."""
        doubled_s = self._open_s * 2.0 ** min(self.opened_times, 20) if self.opened_times else 0.0
        self.opened_times += 1
        self._failed_in_a_row = 0
        self.state = "open"
        self.until = now + min(max(first_s, doubled_s), self._longest_open_s)
