"""What turns a sentence into sound."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from callbot.schemas.voices import VoiceInfo
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

GROUP = "callbot.tts"


@dataclass(frozen=True, slots=True)
class Voice:
    provider: str
    name: str
    """Empty: the provider's own default."""
    language: str
    """BCP 47."""

    @classmethod
    def of_bot(cls, voice: str, language: str) -> "Voice":
        """`voice` as it stands in a bot: `provider:name`."""
        provider, _, name = voice.partition(":")
        return cls(provider, name, language)

    @property
    def in_bot(self) -> str:
        return f"{self.provider}:{self.name}"


def voice_info(provider: str, name: str, language: str, *, voice_id: str = "") -> VoiceInfo:
    """`voice_id`: the vendor's own. It stands in a bot's voice where the name cannot, as it has spaces."""
    settable = voice_id if not name or " " in name or not name.isprintable() else name
    return VoiceInfo(
        voice=f"{provider}:{settable}", provider=provider, name=name, language=language, id=voice_id
    )


class Synthesizer(Protocol):
    ready: bool
    """False: it cannot speak and has no prospect of it; the worker's seats should go to others."""

    @property
    def voices(self) -> Sequence[VoiceInfo]:
        """What it can speak with now; asked from time to time, so quick."""

    async def warm(self, voice: Voice) -> None:
        """A call with this voice begins: its id is looked up, its connection opened. Raises nothing."""

    def speak(self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR) -> AsyncGenerator[bytes, None]:
        """8,000 bytes of mu-law a second, in chunks of any size, as soon as they exist.

        `urgency` matters where texts share something scarce: one that nobody waits for yet takes nothing from
        those that somebody waits for. Cancelled by `aclose()`. Raises ProviderError, within the deadlines of
        the settings.
        """


@runtime_checkable
class HasModels(Protocol):
    """A synthesizer whose vendor has several prices may have this too."""

    def model_of(self, voice: Voice) -> str:
        """What this voice is billed as: a model, or a kind of voices. Empty: not known yet. Quick."""


class Provider(Protocol):
    """What an entry point of `callbot.tts` names: opens a synthesizer, raises SettingsError."""

    def __call__(self, settings: Settings) -> AbstractAsyncContextManager[Synthesizer]: ...
