"""What turns a sentence into sound, and how one is found by its name."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

from callbot.runtime.errors import SettingsError
from callbot.schemas.bots import VoiceInfo
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
    def wished(cls, voice: str, language: str, *, provider: str) -> "Voice":
        """The bot's voice (`provider:name`) where this worker's `provider` is its, else the fallback."""
        wished_provider, _, name = voice.partition(":")
        return cls(provider, name if wished_provider == provider else "", language)


def voice_info(provider: str, name: str, language: str) -> VoiceInfo:
    return VoiceInfo(voice=f"{provider}:{name}", provider=provider, name=name, language=language)


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


class Provider(Protocol):
    """What an entry point of `callbot.tts` names: opens a synthesizer, raises SettingsError."""

    def __call__(self, settings: Settings) -> AbstractAsyncContextManager[Synthesizer]: ...


def open_synthesizer(settings: Settings) -> AbstractAsyncContextManager[Synthesizer]:
    """The provider that the settings name. Raises SettingsError when it is unknown or not installed."""
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    if settings.tts not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise SettingsError(f"CALLBOT_TTS={settings.tts}: no such provider; installed: {known}")
    try:
        provider: Provider = installed[settings.tts].load()
    except ImportError as e:
        raise SettingsError(f"CALLBOT_TTS={settings.tts}: a package is missing: {e.name}") from e
    return provider(settings)
