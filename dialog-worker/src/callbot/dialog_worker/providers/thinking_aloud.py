"""Some servers stream a reasoning model's thoughts as text, in front of its reply: `<think>…</think>`."""

from typing import Final

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


class WithoutThoughts:
    """One reply, piece by piece. Thoughts are looked for at its beginning only; white space there goes."""

    def __init__(self) -> None:
        self._held = ""
        self._at_begin, self._thinking = True, False

    def feed(self, piece: str) -> str:
        """What of it may be said."""
        if not (self._at_begin or self._thinking):
            return piece
        self._held += piece
        if self._at_begin:
            self._held = self._held.lstrip()
            if self._held.startswith(_OPEN):
                self._at_begin, self._thinking = False, True
            elif _OPEN.startswith(self._held):
                return ""
        if self._thinking:
            thoughts, closed, rest = self._held.partition(_CLOSE)
            # Of what is thought only so much is kept as may be the beginning of its end.
            self._held = rest if closed else thoughts[-len(_CLOSE) :]
            if not closed:
                return ""
            # What follows a thought may begin with white space, or be a second one.
            self._at_begin, self._thinking = True, False
            return self.feed("")
        self._at_begin = False
        said, self._held = self._held, ""
        return said

    def end(self) -> str:
        """What was held back and is not a thought after all."""
        return "" if self._thinking else self._held
