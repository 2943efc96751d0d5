"""Where the bot was cut short, and from where it went on. Pure."""

from dataclasses import dataclass, field

from callbot.schemas.audio import BYTES_PER_MS

KEPT_BYTES = 2000 * BYTES_PER_MS
_SURE_BYTES = 20 * BYTES_PER_MS
_COMPARED_BYTES = 100 * BYTES_PER_MS


@dataclass(slots=True)
class Cut:
    """One `clear` of the platform."""

    at_ms: float
    """When it came, on the clock of the line."""
    heard: bytes = field(repr=False)
    """The last two seconds that were played before."""
    unheard: bytes = field(repr=False)
    """What was thrown away."""
    followed_by: bytearray = field(default_factory=bytearray, repr=False)
    """The first two seconds that were sent afterwards."""

    def follow(self, audio: bytes) -> None:
        self.followed_by += audio[: KEPT_BYTES - len(self.followed_by)]

    def skipped_ms(self) -> float | None:
        """How much of the bot's speech the caller misses; what was played twice is negative.

        None: it did not go on with what it was saying, or there are not yet 20 ms of it. In sound that
        repeats itself the place nearest to the cut counts.
        """
        script, cut_at = self.heard + self.unheard, len(self.heard)
        sure, compared = bytes(self.followed_by[:_SURE_BYTES]), bytes(self.followed_by[:_COMPARED_BYTES])
        if len(sure) < _SURE_BYTES:
            return None
        places = []
        at = script.find(sure)
        while at >= 0:
            rest = script[at : at + len(compared)]
            if compared.startswith(rest):
                places.append(at - cut_at)
            at = script.find(sure, at + 1)
        return min(places, key=abs) / BYTES_PER_MS if places else None
