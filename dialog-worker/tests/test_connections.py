"""No connection to an address that was not checked, whatever a name resolves to and whenever it changes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from callbot.dialog_worker import connections
from callbot.dialog_worker.connections import AddressRefused, CheckedResolver, open_connector
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook import Webhooks, open_webhooks
from callbot.runtime.webhook_address import NOT_PUBLIC, WebhookAddresses
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.webhook import WebhookRequest

CUSTOMERS = "127.0.0.2"
"""The one address that the operator of these tests has opened."""
DEAF = "127.0.0.3"
"""Opened too, and nobody listens there."""
INSIDE = "127.0.0.1"


class Names(AbstractResolver):
    """A name server that changes its mind: each lookup takes the next answer, the last one stays."""

    def __init__(self) -> None:
        self.answers: list[list[str]] = []
        self.lookups = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answer = self.answers[min(self.lookups, len(self.answers) - 1)]
        self.lookups += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer
        ]

    async def close(self) -> None:
        pass


class Hosts:
    """The customer's server, and on the same port one inside that nobody from outside may reach."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: set[object] = set()
        self.reached_inside = 0
        self.location = ""
        self.closes = False
        self.slow = asyncio.Event()
        self.slow.set()
        self.waiting = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.connections.add(request.transport)
        if request.path == "/slow":
            self.waiting += 1
            await self.slow.wait()
        if self.location:
            raise web.HTTPTemporaryRedirect(self.location)
        answer = web.json_response({"say": "Hi"})
        if self.closes:
            answer.force_close()
        return answer

    async def inside(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reached_inside += 1
        writer.close()


@pytest.fixture
async def hosts() -> AsyncIterator[Hosts]:
    hosts = Hosts()
    async with AsyncExitStack() as stack:
        inside = await asyncio.start_server(hosts.inside, INSIDE, 0)
        await stack.enter_async_context(inside)
        hosts.port = inside.sockets[0].getsockname()[1]
        app = web.Application()
        app.router.add_post("/{tail:.*}", hosts.handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, CUSTOMERS, hosts.port, backlog=1024).start()
        yield hosts


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
async def webhooks(
    names: Names, settings_with: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Webhooks]:
    monkeypatch.setattr(connections, "NAMES_KEPT_S", 0)
    settings = settings_with(webhook_http="allowed", webhook_allow=f"{CUSTOMERS},{DEAF}", webhook_s=5)
    async with open_webhooks(settings, None, names) as webhooks:
        yield webhooks


Ask = Callable[..., Coroutine[Any, Any, tuple[WebhookStatus, str]]]


@pytest.fixture
def ask(webhooks: Webhooks, hosts: Hosts, webhook_request: WebhookRequest) -> Ask:
    async def ask(host: str = "customer.example", path: str = "/hook") -> tuple[WebhookStatus, str]:
        outcome = await webhooks.ask(f"http://{host}:{hosts.port}{path}", "secret", webhook_request, "public")
        return outcome.status, outcome.detail

    return ask


OK = (WebhookStatus.OK, "")
REFUSED = (WebhookStatus.UNREACHABLE, NOT_PUBLIC)


async def test_a_name_that_changes_its_mind_is_not_followed_inside(
    names: Names, hosts: Hosts, ask: Ask
) -> None:
    names.answers = [[CUSTOMERS], [INSIDE], [CUSTOMERS]]
    hosts.closes = True
    assert [await ask() for _ in range(3)] == [OK, REFUSED, OK]
    assert (names.lookups, hosts.reached_inside) == (3, 0)


async def test_a_name_is_asked_once_for_a_connection(names: Names, hosts: Hosts, ask: Ask) -> None:
    """Who checks one answer and connects to the next has checked nothing."""
    names.answers = [[CUSTOMERS], [INSIDE]]
    assert await ask() == OK
    assert (names.lookups, hosts.reached_inside) == (1, 0)


async def test_of_a_mixed_answer_only_what_is_allowed_is_used(names: Names, hosts: Hosts, ask: Ask) -> None:
    names.answers = [[INSIDE, "::1", "10.0.0.1", "169.254.169.254", CUSTOMERS, f"::ffff:{INSIDE}"]]
    hosts.closes = True
    assert [await ask() for _ in range(8)] == [OK] * 8
    assert hosts.reached_inside == 0


async def test_the_resolver_hands_on_only_what_is_allowed(names: Names) -> None:
    names.answers = [["8.8.8.8", INSIDE, "2606:4700::1111", "::1"], [INSIDE]]
    checked = CheckedResolver(names, WebhookAddresses())
    assert [one["host"] for one in await checked.resolve("a.example")] == ["8.8.8.8", "2606:4700::1111"]
    with pytest.raises(AddressRefused):
        await checked.resolve("a.example")


async def test_an_address_that_is_not_allowed_is_no_second_choice(
    names: Names, hosts: Hosts, ask: Ask
) -> None:
    names.answers = [[DEAF, INSIDE, f"::ffff:{INSIDE}"]]
    assert await ask() == (WebhookStatus.UNREACHABLE, "the connection was refused or failed")
    assert hosts.reached_inside == 0


@pytest.mark.parametrize(
    "answer",
    [
        [INSIDE],
        [INSIDE, "10.0.0.1"],
        ["::1"],
        [f"::ffff:{INSIDE}"],
        ["::ffff:7f00:1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::1"],
        ["0.0.0.0"],
        ["::"],
        ["169.254.169.254"],
        ["fe80::1%lo"],
    ],
    ids="|".join,
)
async def test_a_name_with_nothing_that_is_allowed(
    names: Names, hosts: Hosts, ask: Ask, answer: list[str]
) -> None:
    names.answers = [answer]
    assert await ask() == REFUSED
    assert hosts.reached_inside == 0


async def test_a_name_without_addresses(names: Names, ask: Ask) -> None:
    names.answers = [[]]
    assert await ask() == (WebhookStatus.UNREACHABLE, "the host name has no address")


@pytest.mark.parametrize(
    "host", [INSIDE, "[::1]", f"[::ffff:{INSIDE}]", "0.0.0.0", "[::]", "169.254.169.254"]
)
async def test_a_literal_address_is_checked_where_it_is_connected_to(hosts: Hosts, host: str) -> None:
    """Not only as it is written: aiohttp asks no resolver about these."""
    connector = open_connector(WebhookAddresses("allowed"), Names())
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as e:
            await session.post(f"http://{host}:{hosts.port}/hook")
    assert isinstance(e.value.os_error, AddressRefused)
    assert hosts.reached_inside == 0


async def test_a_literal_address_that_is_allowed(hosts: Hosts, ask: Ask) -> None:
    assert await ask(CUSTOMERS) == OK
    assert await ask(INSIDE) == REFUSED
    assert hosts.reached_inside == 0


async def test_a_redirect_leads_nowhere(names: Names, hosts: Hosts, ask: Ask) -> None:
    names.answers = [[CUSTOMERS]]
    for location in (f"http://{INSIDE}:{hosts.port}/", "http://[::1]/", "//inside.example/", "/elsewhere"):
        hosts.location = location
        assert await ask() == (WebhookStatus.BAD_STATUS, "HTTP 307")
    assert (names.lookups, hosts.reached_inside) == (1, 0)


async def test_a_connection_is_kept_for_the_next_turn(names: Names, hosts: Hosts, ask: Ask) -> None:
    names.answers = [[CUSTOMERS]]
    assert [await ask() for _ in range(5)] == [OK] * 5
    assert len(hosts.connections) == 1


async def until_waiting(hosts: Hosts, number: int) -> None:
    async with asyncio.timeout(20):
        while hosts.waiting < number:
            await asyncio.sleep(0.01)


async def test_a_slow_host_has_its_bound(
    names: Names, hosts: Hosts, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.answers = [[CUSTOMERS]]
    hosts.slow.clear()
    asked = [asyncio.create_task(ask("slow.example", "/slow")) for _ in range(connections.AT_ONCE_A_HOST + 6)]
    await until_waiting(hosts, connections.AT_ONCE_A_HOST)
    assert await ask("quick.example") == OK
    assert hosts.waiting == connections.AT_ONCE_A_HOST
    hosts.slow.set()
    assert await asyncio.gather(*asked) == [OK] * len(asked)


async def test_many_slow_hosts_leave_room_for_others(
    names: Names,
    settings_with: Callable[..., Settings],
    hosts: Hosts,
    webhook_request: WebhookRequest,
) -> None:
    """One user with a domain of their own has as many host names as they like."""
    names.answers = [[CUSTOMERS]]
    hosts.slow.clear()
    settings = settings_with(webhook_http="allowed", webhook_allow=CUSTOMERS, webhook_s=20)
    async with open_webhooks(settings, None, names) as webhooks:

        async def ask(host: str, path: str) -> WebhookStatus:
            url = f"http://{host}:{hosts.port}{path}"
            return (await webhooks.ask(url, "secret", webhook_request, "public")).status

        asked = [asyncio.create_task(ask(f"slow{n % 20}.example", "/slow")) for n in range(400)]
        await until_waiting(hosts, len(asked))
        async with asyncio.timeout(5):
            assert await ask("quick.example", "/hook") is WebhookStatus.OK
        hosts.slow.set()
        assert set(await asyncio.gather(*asked)) == {WebhookStatus.OK}
