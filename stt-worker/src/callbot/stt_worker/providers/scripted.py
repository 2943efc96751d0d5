"""A recogniser for tests: reads the text that the audio carries exactly.

`[[stt:fail]]` and `[[stt:stall]]` in it are done, not read.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from callbot.runtime.errors import ProviderError
from callbot.schemas.text_audio import texts_in
from callbot.stt_worker.recognizer import Utterance
from callbot.stt_worker.settings import Settings


class ScriptedRecognizer:
    working = True
    free_decoders = 64

    @classmethod
    @asynccontextmanager
    async def open(cls, _: Settings) -> AsyncIterator["ScriptedRecognizer"]:
        yield cls()

    async def transcribe(self, utterance: Utterance) -> str:
        text = " ".join(texts_in(utterance.audio))
        if "[[stt:fail]]" in text:
            raise ProviderError("scripted_failure", "the caller asked for it", retryable=False)
        if "[[stt:stall]]" in text:
            await asyncio.Event().wait()
        return text
