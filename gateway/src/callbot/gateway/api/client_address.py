"""Where a request comes from, for the counting of attempts."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web

from callbot.gateway.keys import SETTINGS
from callbot.runtime.settings import Network

IpAddress = IPv4Address | IPv6Address


def client_address(request: web.Request) -> str:
    forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
    return address_of(request.remote or "", forwarded, request.app[SETTINGS].trusted_proxies)


def address_of(remote: str, forwarded: str, trusted: Iterable[Network]) -> str:
    """The peer; behind a trusted proxy the rightmost address of `X-Forwarded-For` that is none of ours.

    Each proxy adds its peer at the right: what stands to the left of the first stranger, that stranger may
    have written. A malformed entry there says nothing: then it is the proxy.
    """
    peer = _read(remote)
    if peer is None:
        return remote
    ranges = tuple(trusted)
    if not forwarded or not _within(peer, ranges):
        return str(peer)
    furthest = peer
    for entry in reversed(forwarded.split(",")):
        found = _read(entry.strip())
        if found is None:
            return str(peer)
        furthest = found
        if not _within(found, ranges):
            break
    return str(furthest)


def _within(address: IpAddress, ranges: Iterable[Network]) -> bool:
    return any(address in network for network in ranges)


def _read(text: str) -> IpAddress | None:
    """`192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`; the first and last also with a port (RFC 7239)."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
