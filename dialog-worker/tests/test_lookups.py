"""Host names are looked up in threads, and nobody's slow name server is everybody's."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from callbot.dialog_worker.lookups import AT_ONCE_A_USER, Lookups, looked_up_for
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook import open_webhooks
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.webhook import WebhookRequest


class NameServer:
    """getaddrinfo(3) of a machine whose name server does not answer for some names."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.answers.wait(30)
        if host.startswith("unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.answers.set()


async def test_this_machine_resolves_itself() -> None:
    found = await Lookups().resolve("localhost", 80)
    assert {one["host"] for one in found} <= {"127.0.0.1", "::1"}
    assert all(one["port"] == 80 and one["hostname"] == "localhost" for one in found)


async def test_a_name_that_does_not_exist(name_server: NameServer) -> None:
    with pytest.raises(socket.gaierror):
        await Lookups(name_server).resolve("unknown.example")


async def test_a_zone_stays_with_its_address() -> None:
    def look_up(*_: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 80, 0, 2))]

    assert [one["host"] for one in await Lookups(look_up).resolve("near.example")] == ["fe80::1%2"]


async def test_one_user_waits_for_few_names_at_once(name_server: NameServer) -> None:
    lookups = Lookups(name_server)

    async def resolve(user: str, host: str) -> object:
        looked_up_for.set(user)
        return await lookups.resolve(host)

    waiting = [asyncio.create_task(resolve("mallory", f"slow{n}")) for n in range(AT_ONCE_A_USER)]
    async with asyncio.timeout(5):
        while len(name_server.asked) < AT_ONCE_A_USER:
            await asyncio.sleep(0.01)
    waiting[0].cancel()
    with pytest.raises(OSError, match="too many host names"):
        # Cancelled or not, the thread of that lookup still waits.
        await asyncio.create_task(resolve("mallory", "slow-one-more"))
    assert await asyncio.create_task(resolve("alice", "quick.example"))
    name_server.answers.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await asyncio.create_task(resolve("mallory", "quick.example"))
    assert "slow-one-more" not in name_server.asked


async def test_a_user_with_a_dead_name_server_is_alone_with_it(
    name_server: NameServer,
    serve: Callable[..., Awaitable[str]],
    settings_with: Callable[..., Settings],
    webhook_request: WebhookRequest,
) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response({"say": "Hi"})

    port = (await serve(handle)).rpartition(":")[2]
    settings = settings_with(webhook_http="allowed", webhook_allow="127.0.0.1", webhook_s=0.5)
    async with open_webhooks(settings, None, Lookups(name_server)) as webhooks:

        async def ask(user: str, host: str) -> tuple[WebhookStatus, str]:
            outcome = await webhooks.ask(f"http://{host}:{port}/", "secret", webhook_request, user)
            return outcome.status, outcome.detail

        hosts = [f"slow{n}.example" for n in range(AT_ONCE_A_USER)]
        outcomes = await asyncio.gather(*(ask("mallory", host) for host in hosts))
        assert [status for status, _ in outcomes] == [WebhookStatus.TIMEOUT] * AT_ONCE_A_USER
        assert await ask("mallory", "quick.example") == (
            WebhookStatus.UNREACHABLE,
            "too many host names are being looked up",
        )
        assert (await ask("alice", "quick.example"))[0] is WebhookStatus.OK
        assert await ask("alice", "unknown.example") == (
            WebhookStatus.UNREACHABLE,
            "the host name cannot be resolved",
        )
