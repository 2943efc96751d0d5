"""Which addresses a customer's webhook may have: every rule about them is here (SSRF).

`refusal_of_url` judges what is written. A name is judged by what it resolves to: `refusal_of_address` is
asked about each address that is about to be connected to.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from callbot.runtime.settings import WebhookHttp

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NOT_A_URL = "must be a URL"
NOT_HTTPS = "must be an https:// address"
NOT_PUBLIC = "must be a public address; the operator can allow others with CALLBOT_WEBHOOK_ALLOW"
NUMBERS = "an IP address in it must be written as four decimal numbers"
WITH_USER = "must be without user and password"


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, text.split()))


_NOT_PUBLIC_V4 = _networks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
)
"""IANA IPv4 Special-Purpose Address Registry (RFC 6890), and multicast (RFC 5771)."""
_PUBLIC_V6 = IPv6Network("2000::/3")
"""Global unicast (IANA IPv6 Address Space); all else is loopback, local, multicast, embedded or reserved."""
_NOT_PUBLIC_V6 = _networks("2001::/23 2001:db8::/32 2002::/16 3fff::/20")
"""IETF protocols with Teredo (RFC 2928, RFC 4380), documentation (RFC 3849, RFC 9637), 6to4 (RFC 3056)."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: how a network with IPv6 alone reaches the IPv4 address in the last 32 bits."""
_METADATA = _networks(
    "169.254.169.254 169.254.170.2 169.254.170.23 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 "
    "100.100.100.200 168.63.129.16 192.0.0.192"
)
"""Where clouds tell a machine its credentials: AWS (EC2, ECS, EKS), Google, Alibaba, Azure, Oracle."""

_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))
_IPV4 = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_NAME = 253


@dataclass(frozen=True)
class WebhookAddresses:
    """The operator's rules: `http` as in the settings, and the ranges allowed beyond public ones.

    A range allows addresses of its own family, written in whatever way. An address where a cloud keeps its
    credentials is allowed only by a range that is that address alone.
    """

    http: WebhookHttp = "never"
    allowed: Sequence[Network] = ()

    def refusal_of_url(self, url: str) -> str:
        """Why this URL may not be called, as far as it shows without a name server; empty where it may."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            return NOT_A_URL
        if not host or port == 0 or not url.isprintable() or " " in url or "\\" in url:
            return NOT_A_URL
        if "@" in parts.netloc:
            return WITH_USER
        host = _as_resolved(host)
        if parts.scheme != "https" and not (parts.scheme == "http" and self._takes_http(host)):
            return NOT_HTTPS
        return self._refusal_of_host(host)

    def refusal_of_address(self, address: str) -> str:
        """Why nothing at this IP address may be called; empty where it may."""
        try:
            ip = ip_address(address)
        except ValueError:
            return "not an IP address"
        if isinstance(ip, IPv6Address) and ip.scope_id is not None:
            return NOT_PUBLIC
        ip = _behind(ip)
        return "" if self._is_allowed(ip) or _is_public(ip) else NOT_PUBLIC

    def _takes_http(self, host: str) -> bool:
        return self.http == "allowed" or (self.http == "loopback" and _is_loopback(host))

    def _refusal_of_host(self, host: str) -> str:
        if ":" in host or _IPV4.fullmatch(host):
            refusal = self.refusal_of_address(host)
            return NOT_A_URL if refusal and refusal != NOT_PUBLIC else refusal
        *_, last = labels = host.split(".")
        if _NUMBER.fullmatch(last):
            # 2130706433, 0177.0.0.1, 0x7f.1, 127.1: what inet_aton(3) takes for an address.
            return NUMBERS
        if last == "localhost" and all(map(self.refusal_of_address, ("127.0.0.1", "::1"))):
            return NOT_PUBLIC
        return "" if len(host) <= _MAX_NAME and all(map(_is_label, labels)) else NOT_A_URL

    def _is_allowed(self, ip: Address) -> bool:
        if any(ip in only for only in _METADATA):
            return any(ip in n and n.num_addresses == 1 for n in self.allowed)
        return (self.http == "loopback" and ip.is_loopback) or any(ip in n for n in self.allowed)


def _as_resolved(host: str) -> str:
    """As a resolver sees it: compatibility letters and other scripts' dots as plain ones (UTS 46)."""
    host = unicodedata.normalize("NFKC", host.translate(_DOTS)).lower()
    return host.removesuffix(".")


def _is_label(label: str) -> bool:
    """Of a host name; in other scripts only roughly, the resolver knows IDNA better."""
    if label.isascii():
        return bool(_LABEL.fullmatch(label))
    return all(c == "-" or c.isalnum() or unicodedata.category(c).startswith("M") for c in label)


def _is_loopback(host: str) -> bool:
    """This machine, by address or by its usual name."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _behind(ip: Address) -> Address:
    """The IPv4 address that is reached through this IPv6 one (mapped: RFC 4291; NAT64: RFC 6052)."""
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip


def _is_public(ip: Address) -> bool:
    if any(ip in n for n in _METADATA):
        return False
    if isinstance(ip, IPv4Address):
        return not any(ip in n for n in _NOT_PUBLIC_V4)
    return ip in _PUBLIC_V6 and not any(ip in n for n in _NOT_PUBLIC_V6)
