"""What a text has cost at its provider: each request that was given it is counted, also one thrown away."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import wrong_audio
from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.schemas.usage import Used
from callbot.tts_worker.synthesizer import HasModels, Synthesizer, Voice
from callbot.tts_worker.urgency import Urgency

GIVEN_UP: Final = frozenset({"too_slow", "timeout"})
"""Errors of ours: the vendor has the text, and speaks it to nobody."""
LONGEST_BYTES: Final = 300 * SAMPLE_RATE_HZ
"""Of one text. What lasts longer is no speech of it, and would be heard until the caller hangs up."""
TellUsed = Callable[[Used], None]


def tell_nobody(used: Used) -> None:
    """For a text that nobody counts."""


async def counted(
    provider: Synthesizer, text: str, voice: Voice, urgency: Urgency, tell_used: TellUsed
) -> AsyncGenerator[bytes, None]:
    """As the provider speaks it. Raises as it does.

    Told once, at the first audio. Without any audio a request that was refused or has failed is not counted;
    one that somebody has stopped waiting for is, even if it was still on its way to the vendor.
    """
    told = refused = False
    left = LONGEST_BYTES

    def tell() -> None:
        model = provider.model_of(voice) if isinstance(provider, HasModels) else ""
        tell_used(Used(role="tts", provider=voice.provider, model=model, characters=len(text)))

    try:
        async with aclosing(provider.speak(text, voice, urgency)) as chunks:
            async for chunk in chunks:
                if not told:
                    told = True
                    tell()
                left -= len(chunk)
                if left < 0:
                    raise wrong_audio("audio without an end")
                yield chunk
    except ProviderError as e:
        refused = e.code not in GIVEN_UP
        raise
    finally:
        if not (told or refused):
            tell()
