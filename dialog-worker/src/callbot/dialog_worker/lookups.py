"""Host names to addresses, so that nobody's slow name server holds up the lookups of others.

The event loop's own lookups share a few threads (uvloop: four), and one that a name server never answers
keeps its thread for as long as resolv.conf(5) says: tens of seconds. So each lookup has a thread of its own,
and each user may have few.
"""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

AT_ONCE = 128
AT_ONCE_A_USER = 4
AddressInfo = tuple[Any, ...]
"""Family, kind, protocol, canonical name, socket address: as getaddrinfo gives it."""
LookUp = Callable[..., Sequence[AddressInfo]]

looked_up_for: ContextVar[str] = ContextVar("looked_up_for", default="")
"""The user whose webhook is being called; aiohttp hands a resolver nothing but the host."""


class TooManyLookups(OSError):
    """This user's names, or everybody's, take too long already."""


class Lookups(AbstractResolver):
    """As the machine resolves names; `look_up` is getaddrinfo(3), which blocks."""

    def __init__(self, look_up: LookUp = socket.getaddrinfo) -> None:
        self._look_up = look_up
        self._running: Counter[str] = Counter()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError, also when the name does not exist. Cancelling it does not end its thread."""
        user = looked_up_for.get()
        if self._running[user] >= AT_ONCE_A_USER or self._running.total() >= AT_ONCE:
            raise TooManyLookups("too many host names are being looked up")
        self._running[user] += 1
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Sequence[AddressInfo]] = loop.create_future()

        def finish(infos: Sequence[AddressInfo] | None, error: Exception | None) -> None:
            self._running[user] -= 1
            if not self._running[user]:
                del self._running[user]
            if found.done():
                return
            if infos is None:
                found.set_exception(error or OSError("no address"))
            else:
                found.set_result(infos)

        def work() -> None:
            infos, error = None, None
            try:
                infos = self._look_up(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
            except Exception as e:
                error = e
            with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(finish, infos, error)

        # A daemon: a thread that waits for a name server does not hold up the end of the process.
        threading.Thread(target=work, name="lookup", daemon=True).start()
        return [_result(host, port, info) for info in await found]

    async def close(self) -> None:
        """Threads that still wait are left to end by themselves."""


def _result(hostname: str, port: int, info: AddressInfo) -> ResolveResult:
    family, _, proto, _, address = info
    host = str(address[0])
    if family == socket.AF_INET6 and address[3] and "%" not in host:
        # A zone of this machine: part of the address, so that it is judged with it.
        host = f"{host}%{address[3]}"
    return ResolveResult(
        hostname=hostname,
        host=host,
        port=port,
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
