"""What becomes of the link to NATS, as nats-py tells it."""

import asyncio
import logging

log = logging.getLogger("callbot.runtime.bus")


class LinkWatch:
    """Says once what is wrong with the link, and nothing about its end. Must never raise (nats-py)."""

    def __init__(self) -> None:
        self.closing = False
        self.refused = False
        """By a server that had taken us; nats-py does not connect again after that."""
        self._user = asyncio.current_task()
        self._said = ""

    async def on_error(self, error: Exception) -> None:
        told = f"{type(error).__name__}: {error}"
        if told != self._said and not self.closing:
            self._said = told
            log.warning("bus", extra={"reason": told})

    async def on_disconnect(self) -> None:
        if not self.closing:
            log.warning("the bus is away")

    async def on_close(self) -> None:
        if not self.closing:
            self.refused = True
            if self._user is not None:
                self._user.cancel()

    async def on_reconnect(self) -> None:
        self._said = ""
        log.warning("the bus is back")
