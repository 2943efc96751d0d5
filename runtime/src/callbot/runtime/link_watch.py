"""What becomes of the link to NATS, as nats-py tells it; and its end."""

import asyncio
import logging
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from callbot.runtime.metrics import METRICS

DISCONNECTS: Final = METRICS.counter(
    "callbot_bus_disconnects_total", "How often the link to NATS was lost."
).of()
ERRORS: Final = METRICS.counter(
    "callbot_bus_errors_total",
    "What nats-py complains of, by its kind; SlowConsumerError: messages were lost.",
    "error",
).known(["SlowConsumerError"])
PENDING: Final = METRICS.gauge(
    "callbot_bus_pending_bytes", "What waits in this process to be sent to NATS."
).of()
LINK_ERRORS = (NatsError, ConnectionError)
"""nats-py lets the socket's own error through when a link breaks while it is written to."""
CLOSED_WITHIN_S = 1.5
log = logging.getLogger("callbot.runtime.bus")


class LinkWatch:
    """Says once what is wrong with the link, and nothing about its end. Must never raise (nats-py)."""

    def __init__(self) -> None:
        self.closing = False
        self.refused = False
        """By a server that had taken us; nats-py does not connect again after that."""
        self._user = asyncio.current_task()
        self._said = ""

    def follow(self, client: Client) -> None:
        PENDING.set_function(lambda: client.pending_data_size)

    async def on_error(self, error: Exception) -> None:
        ERRORS.of(type(error).__name__).inc()
        told = f"{type(error).__name__}: {error}"
        if told != self._said and not self.closing:
            self._said = told
            log.warning("bus", extra={"reason": told})

    async def on_disconnect(self) -> None:
        if not self.closing:
            DISCONNECTS.inc()
            log.warning("the bus is away")

    async def on_close(self) -> None:
        if not self.closing:
            self.refused = True
            if self._user is not None:
                self._user.cancel()

    async def on_reconnect(self) -> None:
        self._said = ""
        log.warning("the bus is back")


async def close(client: Client) -> None:
    """What has been told is still sent, if the server takes it in time."""
    try:
        await asyncio.wait_for(client.drain(), CLOSED_WITHIN_S)
    except (*LINK_ERRORS, TimeoutError):
        await client.close()
