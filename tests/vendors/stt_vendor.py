"""What the server of every speech vendor is for the contract suite: what it hears, and which day it has."""

from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import Final, Protocol, Self

KEY: Final = "key-of-the-tests"
"""The credential that a vendor's server takes, and no other."""
CHATTER: Final = "do-not-repeat-me"
"""Stands in every error text of every vendor: it may never turn up in an error or a log of ours."""
RETRY_AFTER_S: Final = 7


class Day(StrEnum):
    """How the vendor behaves towards every connection or request that is begun from now on."""

    GOOD = "good"
    REFUSED = "refused"
    """The key is not taken: 401, UNAUTHENTICATED."""
    BUSY = "busy"
    """429 without Retry-After, RESOURCE_EXHAUSTED."""
    BUSY_FOR = "busy for"
    """429 with `Retry-After: 7`, RESOURCE_EXHAUSTED with a RetryInfo of 7 s."""
    BROKEN = "broken"
    """500, INTERNAL."""
    SLOW = "slow"
    """Every result comes one second late."""
    STALLS = "stalls"
    """It takes what it is sent and says nothing."""
    CUT = "cut"
    """It ends the connection in the middle of the first speech, in the vendor's way of breaking."""
    MALFORMED = "malformed"
    """Every result is something that the protocol does not have."""
    TWICE = "twice"
    """Every final result comes two times over."""
    OUT_OF_QUOTA = "out of quota"
    """As the vendor says that nothing more is paid for."""
    WRONG_RATE = "wrong rate"
    """It says that the audio is not what was announced."""


class SttVendor(Protocol):
    """A server on this machine, for as long as its context lasts.

    It holds us to the vendor's protocol: a message in the wrong order, an unknown parameter, a missing header
    or audio faster than allowed gets the vendor's own error, and its sentence in `complaints`. What it
    understands is `texts_in` of the audio of one utterance (`callbot.schemas.text_audio`); the time of its
    words is where the text stands in what this connection has sent.
    """

    day: Day

    @property
    def environment(self) -> Mapping[str, str]:
        """What points the provider at it, its key included: `DEEPGRAM_BASE_URL`, `DEEPGRAM_API_KEY`…"""

    def turns(self, day: Day) -> None:
        """From now on it has this day, for open connections too: `day` is for those that follow."""

    @property
    def complaints(self) -> list[str]:
        """What we did against the protocol. Empty on a good day."""

    @property
    def begun(self) -> int:
        """Connections (streaming) or requests (batch) so far, refused ones too."""

    @property
    def open_connections(self) -> int:
        """Streams, or requests, that have not ended."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
