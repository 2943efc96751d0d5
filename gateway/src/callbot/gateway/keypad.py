"""Key presses collected into one input: `#` or a pause ends it. Pure."""

PAUSE_MS = 2000
LONGEST = 64


class Keypad:
    def __init__(self) -> None:
        self._digits = ""
        self._pressed_at_ms = 0.0

    def press(self, digit: str, now_ms: float) -> str:
        """The whole input when this key ends it, else nothing."""
        if digit == "#":
            return self._take()
        if digit and digit in "0123456789*ABCDabcd":
            self._digits += digit
            self._pressed_at_ms = now_ms
        return self._take() if len(self._digits) >= LONGEST else ""

    def pause(self, now_ms: float) -> str:
        """The whole input when the caller has paused, else nothing."""
        return self._take() if self._digits and now_ms - self._pressed_at_ms >= PAUSE_MS else ""

    def _take(self) -> str:
        digits, self._digits = self._digits, ""
        return digits
