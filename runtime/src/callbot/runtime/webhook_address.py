"""Which addresses a customer's webhook may have: every rule about them is here (SSRF)."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from callbot.runtime.settings import WebhookHttp, is_loopback

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class WebhookAddresses:
    """The operator's rules: `http` as in the settings, and the ranges allowed beyond public ones."""

    http: WebhookHttp = "never"
    allowed: Sequence[Network] = ()

    def refusal_of_url(self, url: str) -> str:
        """Why this URL may not be called, as far as it shows without a name server; empty where it may."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return "the address is not a URL"
        if parts.scheme == "https" or (
            parts.scheme == "http" and self.http == "loopback" and is_loopback(parts.hostname)
        ):
            return ""
        return "only https:// addresses are called"

    def refusal_of_address(self, address: str) -> str:
        """Why nothing at this IP address may be called; empty where it may."""
        try:
            ip_address(address)
        except ValueError:
            return "not an IP address"
        return ""
