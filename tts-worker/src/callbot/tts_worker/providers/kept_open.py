"""An idle HTTP connection to a vendor, there before a text needs one."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

import aiohttp

log = logging.getLogger(__name__)

EVERY_S: Final = 20.0
"""Servers and balancers close idle connections, some after 30 s."""
WITHIN_S: Final = 2.0
WANTED_FOR_S: Final = 1800.0
"""So long after its last text or the last call's beginning the connection is kept."""

Knock = Callable[[], Awaitable[None]]


class KeptOpen:
    """Use as an async context manager: it is kept while the block runs, once it was wanted."""

    def __init__(self, knock: Knock, *, provider: str) -> None:
        """`knock` makes a small request; its answer does not matter. It may raise what aiohttp raises."""
        self._knock = knock
        self._provider = provider
        self._wanted_s = float("-inf")
        self._missing = asyncio.Event()
        self.ready = asyncio.Event()
        """There has been an answer, and no connection was lost since."""
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def warm(self) -> None:
        """Returns when there has been an answer, or none in time. Raises nothing."""
        self.wanted()
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._knock()
            self.ready.set()
        except (TimeoutError, aiohttp.ClientError, OSError) as e:
            log.debug("no warm connection", extra={"provider": self._provider, "reason": type(e).__name__})

    def wanted(self) -> None:
        """It is in use."""
        self._wanted_s = time.monotonic()

    def lost(self) -> None:
        """A connection was closed before its answer's end: the next text should find another one."""
        self.ready.clear()
        self._missing.set()

    async def _keep(self) -> None:
        while True:
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._missing.wait()
            except TimeoutError:
                if time.monotonic() - self._wanted_s > WANTED_FOR_S:
                    continue
            self._missing.clear()
            wanted_s = self._wanted_s
            await self.warm()
            # What keeps it open is no use of it.
            self._wanted_s = wanted_s
