"""A second request to the same voice, where the first is slower than this provider usually is."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from callbot.runtime.chain import Link, streamed
from callbot.runtime.errors import ProviderError
from callbot.runtime.guard import Guard
from callbot.tts_worker.synthesizer import Synthesizer

Begin = Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True, slots=True)
class _Watched:
    """The provider's own guard decides and counts around both requests; between them only its p95 matters."""

    guard: Guard

    async def admits(self) -> bool:
        return True

    def succeeded(self, first_ms: float) -> None:
        return None

    def failed(self, error: ProviderError) -> None:
        return None

    def abandoned(self) -> None:
        return None

    def outrun(self, waited_ms: float) -> None:
        return None

    def finished(self) -> None:
        return None

    def broken_off(self, error: ProviderError) -> None:
        return None

    def p95_ms(self) -> float | None:
        return self.guard.p95_ms()


async def hedged(link: Link[Synthesizer], begin: Begin) -> AsyncGenerator[bytes, None]:
    """What `begin` gives, by the request of at most two that is first. Raises as it does.

    One that fails has no successor here: that is the chain's business.
    """
    failures: list[ProviderError] = []

    async def once(_: Link[Synthesizer]) -> AsyncGenerator[bytes, None]:
        if failures:
            raise failures[0]
        try:
            async with aclosing(begin()) as chunks:
                async for chunk in chunks:
                    yield chunk
        except ProviderError as e:
            failures.append(e)
            raise

    twice = [
        Link(link.name, link.provider, _Watched(link.guard), link.deadline_s, link.stall_s) for _ in range(2)
    ]
    try:
        async with aclosing(streamed(twice, once, hedge=True)) as chunks:
            async for chunk in chunks:
                yield chunk
    except ProviderError as e:
        raise e.__cause__ if isinstance(e.__cause__, ProviderError) else next(iter(failures), e) from None
