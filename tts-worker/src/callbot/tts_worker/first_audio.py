"""The deadline of a text that is spoken ahead of its need: it holds as soon as somebody waits."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from callbot.runtime.errors import ProviderError
from callbot.tts_worker.urgency import Urgency


async def in_time(
    chunks: AsyncGenerator[bytes, None], urgency: Urgency, deadline_s: float, *, gives_way: bool
) -> AsyncGenerator[bytes, None]:
    """The same chunks. Raises ProviderError `too_slow` when the first one comes too late, and as they do.

    `gives_way`: what nobody waited for had to let others pass, so its time begins when somebody does; else
    it began with the synthesis.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + deadline_s
    is_waiting = True

    def risen() -> None:
        if is_waiting:
            limit.reschedule(loop.time() + deadline_s if gives_way else max(loop.time(), until_s))

    async with aclosing(chunks):
        try:
            async with asyncio.timeout_at(until_s if urgency.waited_for else None) as limit:
                urgency.on_rise(risen)
                first = await anext(chunks, None)
                is_waiting = False
        except TimeoutError:
            is_waiting = False
            if not limit.expired():
                raise
            raise ProviderError("too_slow", f"no audio in {deadline_s} s", retryable=True) from None
        if first is not None:
            yield first
        async for chunk in chunks:
            yield chunk
