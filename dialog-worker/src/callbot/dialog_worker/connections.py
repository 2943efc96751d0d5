"""Connections to customers' hosts, and to no address that was not checked."""

import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from callbot.runtime.webhook_address import WebhookAddresses

AT_ONCE_A_HOST = 64
WARM_S = 60.0
NAMES_KEPT_S = 30


class AddressRefused(OSError):
    """Nothing at this address may be called."""


class CheckedResolver(AbstractResolver):
    """Of what a name resolves to, only what may be called. The caller connects to exactly these addresses."""

    def __init__(self, resolver: AbstractResolver, addresses: WebhookAddresses) -> None:
        self._resolver = resolver
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises AddressRefused where nothing is left, OSError where the name does not resolve."""
        found = await self._resolver.resolve(host, port, family)
        refusals = [self._addresses.refusal_of_address(one["host"]) for one in found]
        allowed = [one for one, refusal in zip(found, refusals, strict=True) if not refusal]
        if not allowed:
            raise AddressRefused(next(iter(refusals), "the host name has no address"))
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def open_connector(addresses: WebhookAddresses, resolver: AbstractResolver) -> aiohttp.TCPConnector:
    """Connections are kept for the next turn. Nobody waits for another's slow host.

    So a host has its bound, and there is none of all hosts together: the calls and the tests that a worker
    takes at once are that bound.
    """
    return aiohttp.TCPConnector(
        limit=0,
        limit_per_host=AT_ONCE_A_HOST,
        keepalive_timeout=WARM_S,
        ttl_dns_cache=NAMES_KEPT_S,
        resolver=CheckedResolver(resolver, addresses),
        socket_factory=_CheckedSockets(addresses),
    )


class _CheckedSockets:
    """The last door: aiohttp resolves no literal addresses, but each connection begins with a socket."""

    def __init__(self, addresses: WebhookAddresses) -> None:
        self._addresses = addresses

    def __call__(self, info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, proto, _, address = info
        if refusal := self._addresses.refusal_of_address(str(address[0])):
            raise AddressRefused(refusal)
        return socket.socket(family=family, type=kind, proto=proto)
