"""A real voice, started once for all tests of this member."""

from collections.abc import AsyncIterator

import pytest_asyncio

from callbot.tts_worker.providers.piper import PiperSynthesizer
from callbot.tts_worker.settings import Settings


@pytest_asyncio.fixture(scope="session")
async def piper() -> AsyncIterator[PiperSynthesizer]:
    # A loaded machine may take longer than a caller would wait.
    async with PiperSynthesizer(Settings(tts_first_audio_s=20.0)) as synthesizer:
        yield synthesizer
