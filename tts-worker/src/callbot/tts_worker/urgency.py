"""Whether somebody waits to hear a text: what is spoken ahead of its need gives way to what is not."""

from collections.abc import Callable


class Urgency:
    """Of one synthesis. It may rise while the provider speaks, and never falls."""

    def __init__(self, *, waited_for: bool) -> None:
        self.waited_for = waited_for
        self._on_rise: list[Callable[[], None]] = []

    def rise(self) -> None:
        """The text is asked for now."""
        if not self.waited_for:
            self.waited_for = True
            for callback in self._on_rise:
                callback()
            self._on_rise.clear()

    def on_rise(self, callback: Callable[[], None]) -> None:
        """Called once, when it rises, in the order of registration. Must be quick, and safe after the end."""
        if not self.waited_for:
            self._on_rise.append(callback)


WAITED_FOR = Urgency(waited_for=True)
