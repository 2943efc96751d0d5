"""Many small messages in few writes: what is told soon waits a moment for company."""

import asyncio
import logging
from collections.abc import Callable

from nats.aio.client import Client
from nats.errors import Error as NatsError

from callbot.schemas.message import Wire

SOON_S = 0.004
"""A fifth of a frame. One write for all costs each message, here, in the broker and at its listener, a
fraction of one of its own."""
MOST_WAITING = 10_000
"""Messages: the frames of 100 calls for two seconds. What comes while so many wait is lost."""
log = logging.getLogger(__name__)


class Soon:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: list[tuple[str, bytes]] = []
        self._sending: asyncio.Task[None] | None = None
        self._lost = 0

    def teller(self, subject: str) -> Callable[[Wire], None]:
        """Messages of all tellers are sent in the order in which they were told."""
        loop = asyncio.get_running_loop()

        def tell(message: Wire) -> None:
            if not self._waiting:
                loop.call_later(SOON_S, self._send)
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append((subject, message.encode()))
            else:
                self._lost += 1

        return tell

    def _send(self) -> None:
        if self._sending is not None and not self._sending.done():
            # The link takes less than it is given: what has come meanwhile goes with the next.
            asyncio.get_running_loop().call_later(SOON_S, self._send)
        else:
            self._sending = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._lost:
            log.warning("not told soon", extra={"messages": self._lost, "reason": "too many wait"})
            self._lost = 0
        if not self._client.is_connected:
            return
        try:
            for subject, payload in waiting:
                await self._client.publish(subject, payload)
        except (NatsError, ConnectionError) as e:
            log.warning("not told soon", extra={"messages": len(waiting), "reason": str(e)})
