"""What every recogniser does, and how one is found by its name."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final, Protocol, cast

from callbot.runtime.errors import SettingsError
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


class Doubted(str):
    """Words of a short sound that the recogniser itself hardly believes: they do not interrupt the bot."""

    __slots__ = ()


class Recognizer(Protocol):
    @property
    def working(self) -> bool:
        """False: it is stuck, and so this worker is as good as dead."""

    @property
    def free_decoders(self) -> int:
        """How many more utterances would be begun at once: what is not needed may wait for better times."""

    async def transcribe(self, utterance: Utterance) -> str:
        """Its words, maybe `Doubted`; empty: there are none. May be cancelled. Raises ProviderError."""


class RecognizerProvider(Protocol):
    """What an entry point of the group names."""

    def open(self, settings: Settings) -> AbstractAsyncContextManager[Recognizer]:
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
        yield recognizer
