"""A voice without a model, for tests: mu-law that carries its text exactly (`callbot.schemas.text_audio`).

It claims to be `piper:joe`, so that a platform with it says of its bots' voices what one with Piper says.
`[[tts:fail]]` in a text fails at once, `[[tts:break]]` after half of the audio, `[[tts:stall]]` never gives
any audio and fails when the deadline is over.
"""

import asyncio
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Final, Self

from callbot.runtime.errors import ProviderError
from callbot.schemas.text_audio import audible
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

CHUNK_BYTES: Final = 1600


class ScriptedSynthesizer:
    ready = True
    voices = (voice_info("piper", "joe", "en-US"),)

    def __init__(self, settings: Settings) -> None:
        self._ms_per_character = settings.scripted_ms_per_character
        self._first_audio_s = settings.tts_first_audio_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def warm(self, voice: Voice) -> None:
        return None

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        if "[[tts:fail]]" in text:
            raise ProviderError("scripted_failure", "the text asked for it", retryable=False)
        if "[[tts:stall]]" in text:
            await asyncio.sleep(self._first_audio_s)
            raise ProviderError("too_slow", "no audio in time", retryable=True)
        audio = audible(text, self._ms_per_character)
        for at in range(0, len(audio), CHUNK_BYTES):
            if "[[tts:break]]" in text and at >= len(audio) // 2:
                raise ProviderError("scripted_failure", "the text asked for it", retryable=False)
            yield audio[at : at + CHUNK_BYTES]
            await asyncio.sleep(0)
