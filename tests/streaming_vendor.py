"""A vendor that listens along, for tests of what is around it: it reads what the audio carries."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from callbot.runtime.errors import ProviderError
from callbot.schemas.audio import BYTES_PER_MS
from callbot.schemas.text_audio import texts_in


class Stream:
    def __init__(self) -> None:
        self.begins_ms: int | None = None
        self.audio = b""
        self.asked: list[tuple[int, int]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: ProviderError | None = None
        self.over: bool | None = None
        self._lost: asyncio.Future[ProviderError] = asyncio.get_running_loop().create_future()

    def breaks(self, error: ProviderError) -> None:
        """Without being asked for anything."""
        self.error = error
        self._lost.set_result(error)

    async def lost(self) -> ProviderError:
        return await asyncio.shield(self._lost)

    def hear(self, from_ms: int, audio: bytes) -> None:
        if self.begins_ms is None:
            self.begins_ms = from_ms
        assert from_ms == self.heard_to_ms, "a hole, or the same twice"
        self.audio += audio

    @property
    def heard_to_ms(self) -> int:
        return (self.begins_ms or 0) + len(self.audio) // BYTES_PER_MS

    async def words(self, from_ms: int, to_ms: int) -> str:
        self.asked.append((from_ms, to_ms))
        assert self.begins_ms is not None
        assert self.begins_ms <= from_ms <= to_ms <= self.heard_to_ms
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return self.so_far(from_ms)

    def so_far(self, from_ms: int) -> str:
        return " ".join(texts_in(self.audio[(from_ms - (self.begins_ms or 0)) * BYTES_PER_MS :]))

    def says_over(self, from_ms: int) -> bool | None:
        return self.over


class StreamingVendor:
    working = True

    def __init__(self) -> None:
        self.opened: list[Stream] = []
        self.closed = 0
        self.error: ProviderError | None = None
        """For who wants to open one."""
        self._news = asyncio.Condition()

    @asynccontextmanager
    async def stream(self, language: str, hints: Sequence[str]) -> AsyncIterator[Stream]:
        if self.error is not None:
            raise self.error
        self.opened.append(stream := Stream())
        await self._tell()
        try:
            yield stream
        finally:
            self.closed += 1
            await self._tell()

    async def until(self, *, opened: int = 0, closed: int = 0) -> None:
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: len(self.opened) >= opened and self.closed >= closed)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
