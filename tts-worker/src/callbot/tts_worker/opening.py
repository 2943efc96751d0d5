"""The chain of this worker: which providers it has, in which order, with how much patience."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from callbot.runtime.chain import Link
from callbot.runtime.guard import Guard
from callbot.runtime.provider_chain import brought_along, opened
from callbot.tts_worker.chain_synthesizer import ChainSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import GROUP, Provider, Synthesizer

VENDORS: Final = ("elevenlabs", "cartesia", "deepgram", "google", "polly", "openai", "playht")
LAST: Final = "piper"
MARGIN_S: Final = 0.5
"""A provider's own deadline comes before the chain's: its error says more."""


def auto_order() -> tuple[str, ...]:
    """When the settings name nobody: vendors, what other packages have brought along, the local voice."""
    return (*VENDORS, *brought_along(GROUP), LAST)


@asynccontextmanager
async def open_synthesizer(
    settings: Settings, guard: Callable[[str], Guard]
) -> AsyncIterator[ChainSynthesizer]:
    """`guard`: a provider's breaker. Raises SettingsError: a name is not installed, or nobody can speak."""

    def open_one(provider: Provider) -> AbstractAsyncContextManager[Synthesizer]:
        return provider(settings)

    async with opened(GROUP, settings.tts, open_one, variable="CALLBOT_TTS", auto=auto_order()) as providers:
        yield ChainSynthesizer(
            [
                Link(
                    name,
                    synthesizer,
                    guard(name),
                    deadline_s=min(settings.tts_switch_after_s, settings.tts_first_audio_s + MARGIN_S),
                    stall_s=settings.tts_first_audio_s + MARGIN_S,
                )
                for name, synthesizer in providers.items()
            ],
            last_deadline_s=settings.tts_first_audio_s + MARGIN_S,
            fallback_voice=settings.tts_fallback_voice,
            hedge=settings.tts_hedge,
        )
