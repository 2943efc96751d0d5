"""The caller's next turn as it is foreseen: what the mind thinks about while the ears still listen. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Foreseen:
    from_seq: int
    number: int
    text: str
    eager_ms: float
    """From the caller's last speech to these words."""


class Speculation:
    def __init__(self) -> None:
        self._foreseen: Foreseen | None = None

    def foresee(self, turn: Foreseen) -> bool:
        """Is it news to the mind?"""
        known = self._foreseen
        if not turn.text or (known is not None and (known.number, known.text) == (turn.number, turn.text)):
            return False
        self._foreseen = turn
        return True

    def resumed(self, from_seq: int) -> int | None:
        """The caller speaks on, or has said nothing after all: the number of the turn to withdraw."""
        foreseen = self._foreseen
        if foreseen is None or foreseen.from_seq != from_seq:
            return None
        self._foreseen = None
        return foreseen.number

    def opened(self, number: int) -> tuple[float | None, int | None]:
        """The turn is here: when thinking began for it, or the number of another that has to be withdrawn."""
        foreseen, self._foreseen = self._foreseen, None
        if foreseen is None or foreseen.number < number:
            return None, foreseen.number if foreseen else None
        return foreseen.eager_ms, None
