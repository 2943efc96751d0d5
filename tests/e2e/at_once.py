"""Calls that take long, all begun at once: each test waits for the outcome of its own."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from callbot.studio.emulator import Emulator
from tests.vendors.customer import Customer


@dataclass
class AtOnce:
    emulator: Emulator
    api: aiohttp.ClientSession
    customer: Customer
    calls: dict[str, asyncio.Task[Any]] = field(default_factory=dict)

    async def bot(self, day: str, name: str, **fields: Any) -> str:
        """Its id; `name` is the one that the customer knows it by."""
        bot = {"goal": "Test", "webhook": self.customer.webhook(day, name), **fields}
        async with self.api.post("/v1/bots", json=bot) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["id"])

    def begin(self, name: str, call: Coroutine[Any, Any, Any]) -> None:
        self.calls[name] = asyncio.create_task(call)


@asynccontextmanager
async def at_once(
    emulator: Emulator, api: aiohttp.ClientSession, customer: Customer
) -> AsyncIterator[AtOnce]:
    begun = AtOnce(emulator, api, customer)
    try:
        yield begun
    finally:
        for call in begun.calls.values():
            call.cancel()
        await asyncio.gather(*begun.calls.values(), return_exceptions=True)
