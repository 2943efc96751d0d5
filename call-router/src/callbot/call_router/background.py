"""Work that goes on for as long as the service does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

AGAIN_AFTER_S = 1.0
log = logging.getLogger(__name__)


async def kept_running(work: Callable[[], Awaitable[None]]) -> None:
    """A surprise ends one attempt, not the work."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("begins again after an unexpected error")
        await asyncio.sleep(AGAIN_AFTER_S)


async def ended(task: asyncio.Task[None]) -> None:
    # wait_for of Python 3.11 can lose a cancellation: once is not always enough.
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.2)
