"""A call that tells its events, and who watches it."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp

from callbot.runtime.bus import Bus
from callbot.schemas.calls import (
    CallDetail,
    CallEnded,
    CallEvent,
    CallFact,
    CallStarted,
    TurnDone,
    TurnRecord,
)
from callbot.schemas.subjects import CALL_EVENT

from .api_site import TOKEN, Site

STARTED = CallStarted(from_number="+14155550100", to_number="+14155550199")
ENDED = CallEnded(reason="caller_hung_up", duration_ms=61_000)
AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
Shown = tuple[str, str, Any]


class Call:
    """A call that tells its events, as the gateway that holds it does."""

    def __init__(self, bus: Bus) -> None:
        self.id = "CA" + secrets.token_hex(16)
        self._bus = bus
        self._told = 0

    def event(self, fact: CallFact, number: int) -> CallEvent:
        return CallEvent(
            event_id=f"{self.id}.1.{number}", call_id=self.id, bot_id="bot_1", user_id="u", at=AT, fact=fact
        )

    async def tells(self, *facts: CallFact, message_id: str = "") -> None:
        for fact in facts:
            event = self.event(fact, self._told)
            self._told += 1
            await self.again(event, message_id or event.event_id)

    async def again(self, event: CallEvent, message_id: str) -> None:
        await self._bus.remember(CALL_EVENT, event, message_id=message_id, timeout_s=5, call_id=self.id)

    def detail(self, **fields: Any) -> CallDetail:
        return CallDetail(call_id=self.id, bot_id="bot_1", from_number="", to_number="", **fields)

    @property
    def path(self) -> str:
        return f"/v1/calls/{self.id}/events"


def turn(number: int, text: str = "a table\nfor four\r\r\n\ndata: x") -> TurnDone:
    return TurnDone(turn=TurnRecord(number=number, input="speech", user_text=text))


class Stream:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.beats = 0

    async def next(self, within_s: float = 5) -> Shown | None:
        """Id, name and data of the next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(within_s):
            async for line in self.answer.content:
                name, colon, value = line.decode().rstrip("\n").partition(":")
                if colon and name:
                    fields[name] = value.removeprefix(" ")
                elif colon:
                    self.beats += 1
                elif "data" in fields:
                    return fields["id"], fields["event"], json.loads(fields["data"])
        return None

    async def rest(self) -> list[Shown]:
        found: list[Shown] = []
        while (shown := await self.next()) is not None:
            found.append(shown)
        return found


@asynccontextmanager
async def watching(site: Site, path: str, after: str = "", status: int = 200) -> AsyncIterator[Stream]:
    headers = {**TOKEN, **({"Last-Event-ID": after} if after else {})}
    async with site.http.get(path, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        yield Stream(answer)


async def until(holds: Callable[[], bool], within_s: float = 5) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.01)
