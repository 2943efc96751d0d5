"""An async generator that runs in a task of its own, from its beginning to its closing.

So it may be left without being waited for, and what it opens around a `yield` (a deadline, a task group, a
response) is closed by the task that has opened it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Generic, TypeVar

from callbot.runtime.errors import ProviderError

R = TypeVar("R")
log = logging.getLogger(__name__)

AHEAD: Final = 4
"""Results that may wait for their reader."""
_leaving: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, slots=True)
class Ended:
    """After the last result."""

    error: ProviderError | None


class Running(Generic[R]):
    def __init__(self, provider: str, begin: Callable[[], AsyncGenerator[R, None]]) -> None:
        self._provider = provider
        self._results: asyncio.Queue[R | Ended] = asyncio.Queue(AHEAD)
        self._loop = asyncio.get_running_loop()
        self.settled: asyncio.Future[None] = self._loop.create_future()
        """Done with the first result, or with the end."""
        self.first_s: float | None = None
        """When the first result came, on the loop's clock."""
        self.ended: Ended | None = None
        self.left = False
        """Nobody wants its results any more."""
        self._task = self._loop.create_task(self._run(begin), name=provider)

    async def next(self, within_s: float) -> R | Ended:
        """What comes next; an end with the error `stalled` when nothing does."""
        if not self._results.empty():
            return self._results.get_nowait()
        try:
            async with asyncio.timeout(within_s):
                return await self._results.get()
        except TimeoutError:
            return Ended(ProviderError("stalled", f"nothing more in {within_s} s", retryable=True))

    def leave(self) -> None:
        """It is closed, and nobody waits for that."""
        if not self.left and not self._task.done():
            self._task.cancel()
            _leaving.add(self._task)
            self._task.add_done_callback(_leaving.discard)
        self.left = True

    async def _run(self, begin: Callable[[], AsyncGenerator[R, None]]) -> None:
        error: ProviderError | None = None
        try:
            await self._read(begin)
        except ProviderError as e:
            error = e
        except asyncio.CancelledError as e:
            # grpc.aio raises it also where the vendor has cancelled.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            error = self._crashed(e)
        except Exception as e:
            error = self._crashed(e)
        if not self.left:
            self.ended = Ended(error)
            self._settle()
            await self._results.put(self.ended)

    async def _read(self, begin: Callable[[], AsyncGenerator[R, None]]) -> None:
        async with aclosing(begin()) as results:
            async for result in results:
                if self.left:
                    return
                if self.first_s is None:
                    self.first_s = self._loop.time()
                    self._settle()
                await self._results.put(result)

    def _settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)

    def _crashed(self, error: BaseException) -> ProviderError:
        """What it says is not told on: a library's text may have a key in it."""
        kind = type(error).__name__
        facts = {"provider": self._provider, "error": kind, "at": place_of(error)}
        log.error("a provider's code has failed", extra=facts)
        return ProviderError("crashed", kind, retryable=True)


def place_of(error: BaseException) -> str:
    """The file and the line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""


async def closed(begun: Sequence[Running[R]], within_s: float) -> None:
    """Ends them and waits for that, so long at most. Who was left before is not waited for."""
    tasks = [one._task for one in begun if not one.left and not one._task.done()]
    for one in begun:
        one.leave()
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=within_s)
        if late:
            log.warning("slow to close", extra={"providers": ", ".join(t.get_name() for t in late)})


async def all_closed() -> None:
    """Returns when nothing is left of what was begun and left."""
    while _leaving:
        await asyncio.wait(_leaving)
