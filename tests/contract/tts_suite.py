"""What the contract suite of the voices expects, of whom, and how it looks at it."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Self

import pytest

from callbot.runtime.errors import ProviderError
from callbot.tts_worker.synthesizer import Synthesizer, Voice
from tests.vendors.speech_tones import heard, is_said
from tests.vendors.tts_vendor import PATIENCE_S, RETRY_AFTER_S, Day, TtsVendor

SERVERS = {
    "cartesia": "cartesia_tts:CartesiaTts",
    "deepgram": "deepgram_tts:DeepgramTts",
    "elevenlabs": "elevenlabs_tts:ElevenLabsTts",
    "elevenlabs-http": "elevenlabs_tts:ElevenLabsHttpTts",
    "google": "google_tts:GoogleTts",
    "google-unary": "google_tts:GoogleUnaryTts",
    "openai": "openai_tts:OpenAITts",
    "playht": "playht_tts:PlayHTTts",
    "polly": "polly_tts:PollyTts",
}
LOCAL = ("piper", "scripted")
"""They have no vendor, so only good days."""
TEXT = "A table for four at seven."
OTHER = "Good evening, this is the Blue Duck."
SHORT_S = 0.3
EXPECTED: dict[Day, tuple[str, bool, float | None]] = {
    Day.REFUSED: ("refused", False, None),
    Day.BUSY: ("busy", True, None),
    Day.BUSY_FOR: ("busy", True, RETRY_AFTER_S),
    Day.BROKEN: ("unavailable", True, None),
    Day.SLOW: ("too_slow", True, None),
    Day.STALLS: ("too_slow", True, None),
    Day.CUT: ("broken_off", True, None),
    Day.MALFORMED: ("malformed", True, None),
    Day.OUT_OF_QUOTA: ("out_of_quota", False, None),
    Day.WRONG_RATE: ("wrong_audio", False, None),
}
"""Code, retryable, retry_after_s."""


MODELS = {
    "cartesia": "sonic-3.5",
    "deepgram": "aura-2",
    "elevenlabs": "eleven_flash_v2_5",
    "google": "Chirp3-HD",
    "playht": "PlayDialog",
    "polly": "neural",
}
"""What a vendor bills its usual voice as."""


class Live(TtsVendor):
    """The vendor itself."""

    days = frozenset({Day.GOOD})
    environment: Mapping[str, str] = {}

    def __init__(self, name: str) -> None:
        super().__init__()
        self.provider = name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def provider_of(vendor: TtsVendor) -> str:
    return vendor.provider if isinstance(vendor, Live) else vendor.name


def voice_of(vendor: TtsVendor, name: str | None = None) -> Voice:
    known = "" if isinstance(vendor, Live) else vendor.voice
    return Voice(provider_of(vendor), known if name is None else name, "en-US")


async def spoken(synthesizer: Synthesizer, text: str, voice: Voice) -> bytes:
    async with asyncio.timeout(4 * PATIENCE_S), aclosing(synthesizer.speak(text, voice)) as chunks:
        return b"".join([chunk async for chunk in chunks])


def says(vendor: TtsVendor, audio: bytes, text: str) -> bool:
    if isinstance(vendor, Live):
        return 20 <= len(audio) / 8 / len(text) <= 300 and any(tone >= 0 for tone in heard(audio))
    return is_said(audio, text)


async def failure(synthesizer: Synthesizer, voice: Voice) -> tuple[ProviderError, bytes]:
    """And what was heard before it."""
    audio = b""
    with pytest.raises(ProviderError) as caught:
        async with asyncio.timeout(4 * PATIENCE_S), aclosing(synthesizer.speak(TEXT, voice)) as chunks:
            async for chunk in chunks:
                assert chunk
                audio += chunk
    return caught.value, audio


def our_tasks() -> set[str]:
    """Tasks that run code of the member, by its place."""
    places = {
        f"{code.co_filename}:{code.co_name}"
        for task in asyncio.all_tasks()
        if (code := getattr(task.get_coro(), "cr_code", None)) is not None
    }
    return {place for place in places if "tts-worker/src" in place}
