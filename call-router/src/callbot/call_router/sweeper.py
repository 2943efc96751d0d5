"""Finishes what was left unfinished: by a process that died, an older version, or while Twilio was away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from callbot.call_router.database import StoreRejected, StoreUnavailable

EVERY_S = 30.0
LOOK_EVERY_S = 1.0
"""Until the database is ready for the first sweep."""
log = logging.getLogger(__name__)


async def keep_settled(
    works: Sequence[Callable[[], Awaitable[object]]], is_ready: Callable[[], bool]
) -> None:
    """For ever; each work looks at what is due. Several replicas may do it at once."""
    while True:
        ready = is_ready()
        for work in works if ready else ():
            try:
                await work()
            except (StoreUnavailable, StoreRejected) as e:
                log.warning("nothing is settled now", extra={"reason": str(e)})
        await asyncio.sleep(EVERY_S if ready else LOOK_EVERY_S)
