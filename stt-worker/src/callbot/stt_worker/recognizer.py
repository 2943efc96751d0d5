"""What every recogniser does, and how one is found by its name."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final, Protocol, cast

from callbot.runtime.errors import SettingsError
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


class Recognizer(Protocol):
    @property
    def working(self) -> bool:
        """False: it is stuck, and so this worker is as good as dead."""

    @property
    def free_decoders(self) -> int:
        """How many more utterances would be begun at once: what is not needed may wait for better times."""

    async def transcribe(self, utterance: Utterance) -> str:
        """Its words, empty when there are none. Cancellable at any time. Raises ProviderError."""


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


class StreamingRecognizer(Protocol):
    @property
    def working(self) -> bool:
        """False: it has no prospect of hearing anything."""

    def stream(self, language: str, hints: Sequence[str]) -> AbstractAsyncContextManager[SpeechStream]:
        """Opened when a call begins. Raises ProviderError."""


class RecognizerProvider(Protocol):
    """What an entry point of the group names."""

    def open(self, settings: Settings) -> AbstractAsyncContextManager[Recognizer | StreamingRecognizer]:
        """Ready to transcribe at once: models are loaded and warm. Raises SettingsError."""


def provider_named(name: str) -> RecognizerProvider:
    """Raises SettingsError with the installed names, or with what a provider lacks."""
    installed = {e.name: e for e in entry_points(group=GROUP)}
    if name not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise SettingsError(f"CALLBOT_STT={name} is not installed; installed are: {known}")
    try:
        return cast(RecognizerProvider, installed[name].load())
    except ImportError as e:
        raise SettingsError(f"CALLBOT_STT={name} needs a package that is missing: {e.name}") from e


@asynccontextmanager
async def open_recognizer(settings: Settings) -> AsyncIterator[Recognizer]:
    async with provider_named(settings.stt).open(settings) as recognizer:
        yield cast(Recognizer, recognizer)
