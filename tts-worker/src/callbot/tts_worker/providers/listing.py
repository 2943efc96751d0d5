"""What a vendor lists (its voices): asked for ahead of its need, kept, and asked for again now and then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from callbot.runtime.attempt import place_of
from callbot.runtime.errors import ProviderError

T = TypeVar("T")
AGAIN_AFTER_S: Final = 3600.0
RETRY_AFTER_S: Final = 1.0
MAX_RETRY_AFTER_S: Final = 60.0
log = logging.getLogger(__name__)


class Listing(Generic[T]):
    """Use as an async context manager: it is kept up to date while the block runs, in the background."""

    def __init__(self, provider: str, ask: Callable[[], Awaitable[T]]) -> None:
        """`ask` keeps its own deadline."""
        self._provider = provider
        self._ask = ask
        self._asking: asyncio.Task[T | ProviderError] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.latest: T | None = None

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep_fresh())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [task for task in (self._keeping, self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def known(self) -> T:
        """The latest, which is asked for when there is none yet. Raises ProviderError."""
        return await self._fresh() if self.latest is None else self.latest

    async def _fresh(self) -> T:
        """Several who wait share one question; who gives up does not end it for the others."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._answer())
        answer = await asyncio.shield(self._asking)
        if isinstance(answer, ProviderError):
            raise answer
        return answer

    async def _answer(self) -> T | ProviderError:
        try:
            self.latest = await self._ask()
        except ProviderError as e:
            return e
        except Exception as e:
            # An answer that nobody has foreseen: what it says may have a key in it, and the next may be fine.
            kind = type(e).__name__
            facts = {"provider": self._provider, "error": kind, "at": place_of(e)}
            log.error("a list of voices is not understood", extra=facts)
            return ProviderError("crashed", kind, retryable=True)
        return self.latest

    async def _keep_fresh(self) -> None:
        retry_s, reason = RETRY_AFTER_S, ""
        while True:
            try:
                await self._fresh()
                retry_s, reason, pause_s = RETRY_AFTER_S, "", AGAIN_AFTER_S
            except ProviderError as e:
                if e.code != reason:
                    log.warning(
                        "voices cannot be listed", extra={"provider": self._provider, "reason": str(e)}
                    )
                reason, pause_s = e.code, retry_s
                retry_s = min(2 * retry_s, MAX_RETRY_AFTER_S)
            await asyncio.sleep(pause_s)
