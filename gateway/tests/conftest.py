"""The servers that the tests of the API share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from callbot.call_router.memory import ensure_memory
from callbot.gateway.keys import BUS
from callbot.runtime.bus import Bus, connect
from callbot.schemas.subjects import CALL_GET
from tests.servers import Server, nats_server, url_for

from .api_site import ApiRouter, Site, served
from .live_events import Call


@pytest.fixture(scope="session")
def api_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of these tests alone: nobody else answers here."""
    server = nats_server(tmp_path_factory.mktemp("api-nats"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[Server]:
    """Of one test, which may stop it."""
    server = nats_server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
async def _listening(api_nats: Server) -> AsyncIterator[ApiRouter]:
    router = ApiRouter()
    async with connect(url_for("call-router", api_nats), speaks_as="call-router") as bus:
        await router.listen(bus)
        yield router


@pytest.fixture
def api_router(_listening: ApiRouter) -> ApiRouter:
    _listening.forget()
    return _listening


@pytest.fixture(scope="session")
async def site(api_nats: Server) -> AsyncIterator[Site]:
    """Credentials are required."""
    async with served(api_nats, trusted_proxies="127.0.0.0/8") as site:
        yield site


@pytest.fixture(scope="session")
async def open_site(api_nats: Server) -> AsyncIterator[Site]:
    async with served(api_nats, auth="open") as site:
        yield site


@pytest.fixture(scope="session")
async def stream(api_nats: Server) -> AsyncIterator[Bus]:
    """The stream of events, as call-router makes it."""
    async with connect(url_for("call-router", api_nats), speaks_as="call-router") as bus:
        await ensure_memory(bus.jetstream(), 1)
        yield bus


@pytest.fixture
def call(site: Site, api_router: ApiRouter, stream: Bus) -> Call:
    call = Call(site.app[BUS])
    api_router.answers(CALL_GET, call.detail())
    return call
