"""A call at Google's adapter: what is said goes to it frame by frame, words are asked for by position."""

import asyncio
from collections import ChainMap
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache

import pytest

from callbot.schemas.audio import BYTES_PER_MS, SILENCE_BYTE
from callbot.schemas.text_audio import audible
from callbot.stt_worker.providers.google import GoogleRecognizer
from callbot.stt_worker.providers.google_stream import GoogleStream
from callbot.stt_worker.settings import Settings

MS_PER_CHARACTER = 40
PATIENCE_S = 30.0


@lru_cache(maxsize=4096)
def spoken(word: str) -> bytes:
    return audible(word, MS_PER_CHARACTER)


def silence(ms: int) -> bytes:
    return bytes([SILENCE_BYTE]) * (ms * BYTES_PER_MS)


class GoogleCall:
    def __init__(self, stream: GoogleStream, *, from_ms: int = 0, frame_ms: int = 20) -> None:
        self.stream = stream
        self.now_ms = from_ms
        self._frame = frame_ms * BYTES_PER_MS
        self._rest = b""

    def says(self, *words: str, between_ms: int = 40) -> None:
        for word in words:
            self.hears(spoken(word) + silence(between_ms))

    def is_silent(self, ms: int) -> None:
        """So long at least: up to the end of a frame."""
        quiet = silence(ms)
        self.hears(quiet + bytes([SILENCE_BYTE]) * (-len(self._rest + quiet) % self._frame))

    def hears(self, audio: bytes) -> None:
        """In whole frames; what is less than one waits for the next."""
        heard = self._rest + audio
        whole = len(heard) - len(heard) % self._frame
        for at in range(0, whole, self._frame):
            frame = heard[at : at + self._frame]
            self.stream.hear(self.now_ms, frame)
            self.now_ms += len(frame) // BYTES_PER_MS
        self._rest = heard[whole:]

    def loses(self, ms: int) -> None:
        """Frames that never come."""
        self.now_ms += ms

    async def words(self, from_ms: int, to_ms: int | None = None) -> str:
        to_ms = self.now_ms if to_ms is None else to_ms
        return await asyncio.wait_for(self.stream.words(from_ms, to_ms), PATIENCE_S)

    async def heard(self, word: str, from_ms: int = 0) -> None:
        """Until it is among what is told without being asked."""
        async with asyncio.timeout(PATIENCE_S):
            while word not in self.stream.so_far(from_ms).split():
                await asyncio.sleep(0.001)


@asynccontextmanager
async def recognizer(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[GoogleRecognizer]:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    async with GoogleRecognizer.open(Settings()) as opened:
        yield opened


@asynccontextmanager
async def call(
    environment: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    *told: Mapping[str, str],
    hints: tuple[str, ...] = (),
    language: str = "en-US",
    from_ms: int = 0,
    frame_ms: int = 20,
) -> AsyncIterator[GoogleCall]:
    """`told`: further variables of the environment."""
    async with (
        recognizer(ChainMap(*map(dict, (*reversed(told), environment))), monkeypatch) as opened,
        opened.stream(language, hints) as stream,
    ):
        yield GoogleCall(stream, from_ms=from_ms, frame_ms=frame_ms)
