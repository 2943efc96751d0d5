"""How a vendor talks over a WebSocket on which several texts are spoken at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from callbot.runtime.errors import ProviderError


@dataclass(frozen=True, slots=True)
class Heard:
    """What one message of a vendor says."""

    context: str = ""
    """Of which text; empty: of the whole connection."""
    audio: bytes = b""
    over: bool = False
    error: Exception | None = None


class Dialect(Protocol):
    """How one vendor talks over a WebSocket. Nothing here waits."""

    @property
    def at_once(self) -> int:
        """Texts that one connection may have in work."""

    @property
    def tick_s(self) -> float:
        """How often a connection looks after itself; well inside the vendor's limit of inactivity."""

    @property
    def replaced_after_s(self) -> float:
        """The vendor closes idle connections whatever is sent: another one takes its place. Else infinite."""

    @property
    def drains(self) -> bool:
        """A text that was cancelled has its place until the vendor says that it is over."""

    def prepare(self, context: str) -> Sequence[str]:
        """What opens a context ahead of its text; empty: the vendor has no such thing."""

    def keep_alive(self, context: str) -> Sequence[str]:
        """What resets the vendor's limit of inactivity, with a context that was opened ahead."""

    def cancel(self, context: str) -> Sequence[str]:
        """What ends a text before its end."""

    def heard(self, message: str) -> Heard:
        """Raises ProviderError (`malformed`)."""

    def closed(self, code: int) -> ProviderError:
        """What a close code means that no error message explained, before any audio."""


class ConnectionGone(Exception):
    """The connection ended before a byte of the answer came, as one does that was idle for too long."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(error.code)
        self.error = error
