"""What every recogniser does."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from callbot.runtime.errors import ProviderError
from callbot.schemas.audio import BYTES_PER_MS
from callbot.stt_worker.settings import Settings

GROUP: Final = "callbot.stt"


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a caller said in one go."""

    audio: bytes
    """Mu-law, 8,000 bytes a second."""
    language: str = "en-US"
    """A BCP 47 tag."""
    hints: tuple[str, ...] = ()
    """Words to expect."""
    from_ms: int = 0
    """Where it lies in the caller's stream."""

    @property
    def to_ms(self) -> int:
        return self.from_ms + len(self.audio) // BYTES_PER_MS


class Doubted(str):
    """Words of a short sound that the recogniser itself hardly believes: they do not interrupt the bot."""

    __slots__ = ()


class Recognizer(Protocol):
    """Batch: an utterance in, its words out."""

    @property
    def working(self) -> bool:
        """False: it is stuck, and so this worker is as good as dead."""

    @property
    def free_decoders(self) -> int:
        """How many more utterances would be begun at once: what is not needed may wait for better times."""

    async def transcribe(self, utterance: Utterance) -> str:
        """Its words, maybe `Doubted`; empty: there are none. May be cancelled. Raises ProviderError."""


@runtime_checkable
class WarmedRecognizer(Protocol):
    """A recogniser that is somewhere else may have this too."""

    async def warm(self) -> None:
        """A call begins: the connection for its utterances is opened. Raises nothing."""


class SpeechStream(Protocol):
    """One call's connection to a vendor that listens while the caller speaks. Positions are of the call."""

    def hear(self, from_ms: int, audio: bytes) -> None:
        """Mu-law of the call in order, silence too. Never blocks; what the vendor is too slow for waits."""

    async def words(self, from_ms: int, to_ms: int) -> str:
        """The final words of that stretch, which has been heard: the vendor is asked to settle them now.

        Cancellable at any time. Raises ProviderError, also when the connection is lost.
        """

    def so_far(self, from_ms: int) -> str:
        """The words since then that the vendor has told without being asked; they may change."""

    def says_over(self, from_ms: int) -> bool | None:
        """The vendor's own opinion: is the turn that began there over? None: it has none."""


@runtime_checkable
class WatchedStream(Protocol):
    """A SpeechStream whose connection is looked after while nothing is asked of it may have this too."""

    async def lost(self) -> ProviderError:
        """Returns when it hears nothing any more, whatever is asked of it. May be cancelled."""


@runtime_checkable
class StreamingRecognizer(Protocol):
    @property
    def working(self) -> bool:
        """False: it has no prospect of hearing anything."""

    def stream(self, language: str, hints: Sequence[str]) -> AbstractAsyncContextManager[SpeechStream]:
        """Opened when a call begins. Raises ProviderError."""


@runtime_checkable
class HasModels(Protocol):
    """A recogniser whose vendor has several prices may have this too."""

    def model_of(self, language: str) -> str:
        """What hears this language, as it is billed."""


AnyRecognizer = Recognizer | StreamingRecognizer


class RecognizerProvider(Protocol):
    """What an entry point of the group names."""

    def open(self, settings: Settings) -> AbstractAsyncContextManager[AnyRecognizer]:
        """Ready to transcribe at once: models are loaded and warm. Raises SettingsError."""
