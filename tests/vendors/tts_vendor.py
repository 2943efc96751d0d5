"""What the server of every voice's vendor is for the contract suite: what it says, and which day it has."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import TracebackType
from typing import ClassVar, Final, Self

from tests.vendors.stt_vendor import CHATTER, KEY, RETRY_AFTER_S

__all__ = ["CHATTER", "KEY", "RETRY_AFTER_S", "Day", "TtsVendor"]


class Day(StrEnum):
    """How the vendor behaves towards every connection and every request that is begun from now on."""

    GOOD = "good"
    REFUSED = "refused"
    """The key is not taken: 401, UNAUTHENTICATED."""
    BUSY = "busy"
    """429 without Retry-After, RESOURCE_EXHAUSTED."""
    BUSY_FOR = "busy for"
    """429 with `Retry-After: 7`, RESOURCE_EXHAUSTED with a RetryInfo of 7 s."""
    BROKEN = "broken"
    """500, INTERNAL, a close code of the vendor's for its own failure."""
    SLOW = "slow"
    """It takes the request and never says anything."""
    STALLS = "stalls"
    """Half of the audio, at once and pushed out, then nothing; the connection stays open."""
    CUT = "cut"
    """Half of the audio, at once and pushed out, then the connection is torn (`transport.abort()`)."""
    MALFORMED = "malformed"
    """An answer with status 200 that the protocol does not have: no JSON, no base64, no RIFF, a web page."""
    OUT_OF_QUOTA = "out of quota"
    """As the vendor says that nothing more is paid for."""
    WRONG_RATE = "wrong rate"
    """Audio of another rate or kind than was asked for, where the protocol tells it (Content-Type, WAV)."""


PATIENCE_S: Final = 10.0


class TtsVendor(ABC):
    """A server on this machine, for as long as its context lasts. A subclass for each vendor.

    It holds us to the protocol: a wrong order, parameter, header or path gets the vendor's own error,
    and a sentence in `complaints`. It says `speech_tones.spoken_mulaw(text)` or `spoken_pcm(text, rate)`.
    Every error text of it contains CHATTER and repeats the key that it was shown.
    """

    name: ClassVar[str]
    """Of the entry point, and what stands before the colon in a bot's voice."""
    days: ClassVar[frozenset[Day]] = frozenset(Day)
    """Which of them the vendor's protocol can have."""
    voice: ClassVar[str]
    """A voice that it has, as after the colon in a bot's voice, but not the provider's default."""
    unknown_voice: ClassVar[str] = "nobody-here"
    secrets: ClassVar[tuple[str, ...]] = (KEY,)

    def __init__(self) -> None:
        self.day = Day.GOOD
        self.complaints: list[str] = []
        self.asked: list[str] = []
        """The texts, in the order in which they were asked for."""
        self.voices_asked: list[str] = []
        """With which voice each was asked for: as the vendor is told it (id or name)."""
        self.given_up = 0
        """How many speeches the client has stopped before their end: connection closed, or cancelled."""
        self.connections: list[object] = []
        """Whatever stands for a connection (an aiohttp transport, a gRPC peer), in the order of opening."""
        self.connection_of_last: object | None = None
        """By which the last text came; None: cannot be told."""
        self.first_audio_at_s = 0.0
        """`time.monotonic()` when the first audio of the last text was written."""
        self._news = asyncio.Condition()

    @property
    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """What points the provider at this server, its key included. Known after entering."""

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def connects(self, connection: object) -> None:
        """To call for each request and handshake."""
        if not any(known is connection or known == connection for known in self.connections):
            self.connections.append(connection)

    async def begins(self, text: str, *, voice: str, connection: object | None = None) -> None:
        """To call when a whole text has been asked for, on bad days too."""
        self.asked.append(text.strip())
        self.voices_asked.append(voice)
        self.connection_of_last = connection
        await self._tell()

    def gives_audio(self) -> None:
        """To call right before the first audio of a text is written."""
        self.first_audio_at_s = time.monotonic()

    async def gives_up(self) -> None:
        """To call when the client has closed or cancelled before all audio was given.

        Also on the days SLOW and STALLS: wait for the client's close there (`transport.is_closing()`, the
        WebSocket's close, the gRPC context's cancellation), not for a time.
        """
        self.given_up += 1
        await self._tell()

    async def until(self, condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Returns when it holds; for tests. Raises TimeoutError."""
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(condition)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
