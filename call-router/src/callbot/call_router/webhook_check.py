"""Whether a bot may have this webhook, as far as it shows when the bot is made or changed.

The dialog-worker checks again at every call, where the address that it connects to is decided.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from callbot.runtime.errors import Refused
from callbot.runtime.webhook_address import WebhookAddresses

NAMES_WITHIN_S = 1.0
NAMES_AT_ONCE = 4


class WebhookCheck:
    def __init__(self, addresses: WebhookAddresses) -> None:
        self._addresses = addresses
        # Threads of its own: a slow name server keeps nothing else waiting.
        self._threads = ThreadPoolExecutor(NAMES_AT_ONCE, "names")

    async def require(self, url: str) -> None:
        """Raises Refused(`invalid_request`). A name that is unknown, or not found in time, is accepted."""
        reason = self._addresses.refusal_of_url(url)
        for address in () if reason else await self._addresses_of(url):
            reason = reason or self._addresses.refusal_of_address(address)
        if reason:
            raise Refused("invalid_request", f"webhook: {reason}", {"field": "webhook"})

    async def _addresses_of(self, url: str) -> list[str]:
        """A decimal or octal host becomes an address here too (inet_aton(3))."""
        parts = urlsplit(url)
        asked = (parts.hostname, parts.port or 443, 0, socket.SOCK_STREAM)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(NAMES_WITHIN_S):
                found = await loop.run_in_executor(self._threads, socket.getaddrinfo, *asked)
        except (TimeoutError, OSError, UnicodeError):
            return []
        return [str(address[0]) for *_, address in found]
