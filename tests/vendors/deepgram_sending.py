"""A connection of Deepgram's server on this machine: what it says, and how late."""

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

from aiohttp import web

from tests.vendors.stt_vendor import Day

SLOW_S = 1.0


class Connection:
    """What is sent goes out in order, on a slow day one second late."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        day: Day,
        malformed: str,
    ) -> None:
        self.socket = socket
        self.transport = transport
        self.day = day
        self.is_open = True
        self.was_good = day is Day.GOOD
        """From its beginning until now."""
        self._malformed = malformed
        self._queue: asyncio.Queue[tuple[float, dict[str, Any]]] = asyncio.Queue()

    def send(self, messages: list[dict[str, Any]]) -> None:
        if self.day is Day.STALLS:
            messages = [m for m in messages if m["type"] == "Connected"]
        late_s = SLOW_S if self.day is Day.SLOW else 0.0
        for message in messages:
            final = message.get("is_final") or message.get("event") == "EndOfTurn"
            for _ in range(2 if self.day is Day.TWICE and final else 1):
                self._queue.put_nowait((time.monotonic() + late_s, message))

    async def send_for_ever(self) -> None:
        number = 0
        while True:
            due_s, message = await self._queue.get()
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            if "sequence_id" in message:
                message = {**message, "sequence_id": number}
                number += 1
            is_result = message["type"] in ("Results", "TurnInfo")
            broken = self.day is Day.MALFORMED and is_result
            # Whoever has gone is told nothing.
            with suppress(ConnectionError):
                await self.socket.send_str(self._malformed if broken else json.dumps(message))
            self._queue.task_done()

    async def drain(self) -> None:
        await self._queue.join()
