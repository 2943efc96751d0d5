"""What the tests of several members share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server, nats_server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--live",
        action="append",
        default=[],
        metavar="PROVIDER",
        help="run the contract suites against this provider's vendor, with the keys of the environment",
    )
    parser.addoption(
        "--whole-table",
        type=Path,
        metavar="FILE",
        help="every chain on every bad day at every moment; what was measured is added to this file",
    )


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One NATS for all tests that do not kill it."""
    server = nats_server(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()
