"""Which webhooks a bot may be given."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from callbot.call_router.webhook_check import NAMES_WITHIN_S, WebhookCheck
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.runtime.webhook_address import WebhookAddresses

from .conftest import new_bot
from .test_bots import change, get

PUBLIC, PRIVATE = "93.184.215.14", "10.1.2.3"


class NameServer:
    """What `getaddrinfo` finds here, and when."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0

    def __call__(self, host: str, port: int, *_: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        self.answers.wait(10)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in self.known[host]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    yield server
    server.answers.set()


async def reason(check: WebhookCheck, url: str) -> str:
    """Empty: it may be called."""
    try:
        await check.require(url)
    except Refused as e:
        assert (e.code, e.details) == ("invalid_request", {"field": "webhook"})
        return e.message
    return ""


async def test_what_a_name_resolves_to_is_judged(names: NameServer) -> None:
    names.known = {"good.example": [PUBLIC], "bad.example": [PRIVATE], "both.example": [PUBLIC, PRIVATE]}
    check = WebhookCheck(WebhookAddresses("never"))
    assert await reason(check, "https://good.example/hook") == ""
    for host in ("bad.example", "both.example"):
        assert "webhook: " in await reason(check, f"https://{host}/hook")
    inside = WebhookCheck(WebhookAddresses("never", [ip_network("10.0.0.0/8")]))
    assert await reason(inside, "https://both.example/hook") == ""


async def test_a_name_that_is_unknown_may_become_known(names: NameServer) -> None:
    assert await reason(WebhookCheck(WebhookAddresses("never")), "https://soon.example/") == ""
    assert names.asked == 1


async def test_a_slow_name_server_holds_nobody_up(names: NameServer) -> None:
    names.known = {"slow.example": [PRIVATE]}
    check = WebhookCheck(WebhookAddresses("never"))
    names.answers.clear()
    began_s = time.monotonic()
    found = await asyncio.gather(*(reason(check, "https://slow.example/") for _ in range(20)))
    assert set(found) == {""}
    assert NAMES_WITHIN_S <= time.monotonic() - began_s < NAMES_WITHIN_S + 0.3
    names.answers.set()
    assert await reason(check, "https://slow.example/") != ""


@pytest.mark.usefixtures("router")
@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:5000/hook", True),
        ("http://127.1.2.3/", True),
        ("http://[::1]:5000/", True),
        ("http://localhost/", True),
        ("http://LOCALHOST/", True),
        ("http://example.com/", False),
        ("http://10.0.0.1/", False),
        ("https://10.0.0.1/", False),
        ("https://169.254.169.254/", False),
        ("https://[::ffff:10.0.0.1]/", False),
        ("https://167772161/", False),
        ("http://localhost.example.com/", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://0.0.0.0/", False),
        ("https://example.com/", True),
    ],
)
async def test_a_webhook_is_checked_when_a_bot_is_made_and_changed(
    gateway: Bus, url: str, allowed: bool
) -> None:
    """As with `callbot up`, where webhooks may be on this machine."""
    bot = await new_bot(gateway)
    for giving in (new_bot(gateway, webhook=url), change(gateway, bot.id, webhook=url)):
        try:
            assert (await giving).webhook == url
            assert allowed
        except Refused as e:
            assert (e.code, e.details) == ("invalid_request", {"field": "webhook"})
            assert not allowed
    assert ((await get(gateway, bot.id)).webhook == url) is allowed
