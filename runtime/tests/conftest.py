"""A NATS server that a test may kill, and one bus for each service."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from callbot.runtime.bus import Bus, connect
from callbot.schemas.subjects import SERVICES
from tests.servers import Server, nats_server, url_for


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = nats_server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def buses(server: Server) -> AsyncIterator[dict[str, Bus]]:
    async with AsyncExitStack() as stack:
        yield {
            service: await stack.enter_async_context(connect(url_for(service, server), speaks_as=service))
            for service in SERVICES
        }
