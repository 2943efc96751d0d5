"""Key presses collected into one input: `#` or a pause ends it. Pure."""

from collections import deque

PAUSE_MS = 2000
LONGEST = 64
INPUTS_EVERY_MS = 1000
KEYS_A_SECOND = 10
"""A finger is slower; what comes faster is a machine and is not listened to."""


class Keypad:
    def __init__(self) -> None:
        self._digits = ""
        self._ended = False
        self._pressed_at_ms: deque[float] = deque(maxlen=KEYS_A_SECOND)
        self._taken_at_ms = -float(INPUTS_EVERY_MS)

    @property
    def typing(self) -> bool:
        return bool(self._digits)

    def press(self, digit: str, now_ms: float) -> str:
        """The whole input when this key ends it, else nothing."""
        if len(self._pressed_at_ms) == KEYS_A_SECOND and now_ms - self._pressed_at_ms[0] < 1000:
            return ""
        self._pressed_at_ms.append(now_ms)
        if digit == "#":
            self._ended = bool(self._digits)
        elif digit and digit in "0123456789*ABCDabcd":
            self._digits += digit
            self._ended = len(self._digits) >= LONGEST
        return self._take(now_ms) if self._ended else ""

    def pause(self, now_ms: float) -> str:
        """The whole input when the caller has paused, or has ended it sooner than it may follow the last."""
        if not self._digits:
            return ""
        paused = now_ms - self._pressed_at_ms[-1] >= PAUSE_MS
        return self._take(now_ms) if paused or self._ended else ""

    def _take(self, now_ms: float) -> str:
        if now_ms - self._taken_at_ms < INPUTS_EVERY_MS:
            return ""
        digits, self._digits = self._digits[:LONGEST], ""
        self._ended = False
        self._taken_at_ms = now_ms
        return digits
