"""A provider that says what its script says, and counts its beginnings and its closings."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from callbot.runtime.breaker import ENOUGH_SAMPLES, Breaker
from callbot.runtime.chain import Attempt, Link, streamed
from callbot.runtime.errors import ProviderError
from callbot.runtime.guard import LocalGuard

LONG_S = 60.0
SHORT_S = 0.02
BROKEN = ProviderError("unavailable", "", retryable=True)
REFUSED = ProviderError("unauthorized", "", retryable=False)


@dataclass
class Vendor:
    """Says what its script says: words, an error, `hang`, or an event to wait for."""

    script: list[Any]
    begun: int = 0
    closed: int = 0
    is_closing: asyncio.Event = field(default_factory=asyncio.Event)
    may_close: asyncio.Event = field(default_factory=asyncio.Event)
    closes_slowly: bool = False

    async def speak(self) -> AsyncGenerator[str, None]:
        self.begun += 1
        try:
            for step in self.script:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif step == "hang":
                    await asyncio.Event().wait()
                else:
                    yield step
        finally:
            self.is_closing.set()
            if self.closes_slowly:
                await self.may_close.wait()
            self.closed += 1


def link(
    name: str, *script: Any, deadline_s: float = LONG_S, stall_s: float = LONG_S, **kwargs: Any
) -> Link[Vendor]:
    vendor = Vendor(list(script), **kwargs)
    return Link(name, vendor, LocalGuard(name), deadline_s, stall_s)


def speak(one: Link[Vendor]) -> AsyncGenerator[str, None]:
    return one.provider.speak()


async def heard(
    links: list[Link[Vendor]], told: list[Attempt] | None = None, *, hedge: bool = False
) -> list[str]:
    tell = (lambda _: None) if told is None else told.append
    return [word async for word in streamed(links, speak, hedge=hedge, told=tell)]


def breaker_of(one: Link[Vendor]) -> Breaker:
    assert isinstance(one.guard, LocalGuard)
    return one.guard.breaker


def opened(one: Link[Vendor]) -> Link[Vendor]:
    breaker_of(one).failed(asyncio.get_event_loop().time(), REFUSED)
    breaker_of(one).until = float("inf")
    return one


def usually_quick(one: Link[Vendor]) -> Link[Vendor]:
    """So that it is slow after 150 ms."""
    for _ in range(ENOUGH_SAMPLES):
        one.guard.succeeded(1)
    return one
