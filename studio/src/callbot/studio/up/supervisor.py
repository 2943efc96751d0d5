"""All parts together: started in order, announced when a call would work, ended within 5 s."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from callbot.studio.up.keeper import Keeper
from callbot.studio.up.lines import Lines
from callbot.studio.up.parts import Part
from callbot.studio.up.problems import CannotStart
from callbot.studio.up.undertaker import Undertaker

START_WITHIN_S = 90.0
_ALL_END_WITHIN_S = 4.3
_SERVICES_END_WITHIN_S = 2.7


class Supervisor:
    def __init__(
        self,
        parts: Iterable[Part],
        *,
        lines: Lines,
        undertaker: Undertaker,
        changed: Callable[["Supervisor"], None],
    ) -> None:
        self.keepers = [
            Keeper(part, lines=lines, undertaker=undertaker, changed=lambda: changed(self)) for part in parts
        ]

    async def run(self, stop: asyncio.Event, announce: Callable[[], None]) -> None:
        """Until `stop`; `announce` is called once. Raises CannotStart, with nothing left running either."""
        parts = [keeper.start(self._needed_by(keeper)) for keeper in self.keepers]
        stopped = asyncio.create_task(stop.wait())
        try:
            await self._until_ready([*parts, stopped])
            if not stop.is_set():
                announce()
                await _first_of([*parts, stopped])
        finally:
            stopped.cancel()
            await self._end()

    def _needed_by(self, keeper: Keeper) -> list[Keeper]:
        return [k for k in self.keepers if k.part.service in keeper.part.needs]

    async def _until_ready(self, others: Sequence[Awaitable[object]]) -> None:
        all_ready = asyncio.create_task(self._all_ready())
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await _first_of([all_ready, *others])
        except TimeoutError as e:
            late = [k for k in self.keepers if not k.ready.is_set()]
            told = "; ".join(f"{k.part.name} (last line: {k.last_line or 'none'})" for k in late)
            raise CannotStart(f"not ready within {START_WITHIN_S:g} s: {told}") from e
        finally:
            all_ready.cancel()

    async def _all_ready(self) -> None:
        for keeper in self.keepers:
            await keeper.ready.wait()

    async def _end(self) -> None:
        deadline = time.monotonic() + _ALL_END_WITHIN_S
        services = [k for k in self.keepers if k.part.is_service]
        servers = [k for k in self.keepers if not k.part.is_service]
        await asyncio.gather(*(k.end(_SERVICES_END_WITHIN_S) for k in services))
        left_s = deadline - time.monotonic()
        await asyncio.gather(*(k.end(left_s) for k in servers))


async def _first_of(awaitables: Iterable[Awaitable[object]]) -> None:
    """Returns when one is done, with its error."""
    done, _ = await asyncio.wait(
        [asyncio.ensure_future(a) for a in awaitables], return_when=asyncio.FIRST_COMPLETED
    )
    for finished in done:
        finished.result()
