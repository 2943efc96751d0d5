"""The servers and the platform that tests share: one of each for the whole run.

A required server never skips: NATS, MongoDB's protocol and the models come with the installation, so that a
missing one is a failure.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from callbot.studio.emulator import Emulator
from callbot.studio.up.running import WITHOUT_LIMITS, Platform, running_platform
from tests.e2e.chains import Table
from tests.vendors.customer import Customer
from tests.vendors.openai_server import LanguageModel

BotMaker = Callable[..., Awaitable[str]]
MS_PER_CHARACTER = 15
"""Scripted voices speak quickly, so that tests take less time."""


async def serve(stack: AsyncExitStack, app: web.Application) -> str:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
async def customer(servers: AsyncExitStack) -> Customer:
    customer = Customer()
    customer.url = await serve(servers, customer.app())
    return customer


@pytest.fixture(scope="session")
def language_model() -> LanguageModel:
    return LanguageModel()


@pytest.fixture(scope="session")
async def platform(servers: AsyncExitStack, language_model: LanguageModel) -> AsyncIterator[Platform]:
    """`callbot up --scripted --replicas 2`: separate processes, scripted voices, our own language model."""
    model_url = await serve(servers, language_model.app())
    env = {
        **WITHOUT_LIMITS,
        "OPENAI_BASE_URL": f"{model_url}/v1",
        "OPENAI_API_KEY": "unused",
        "OPENAI_MODEL": "test",
        "CALLBOT_SCRIPTED_MS_PER_CHARACTER": str(MS_PER_CHARACTER),
        "CALLBOT_NATS_MONITOR": "1",
    }
    async with running_platform("--scripted", "--replicas", "2", env=env) as running:
        yield running


@pytest.fixture(scope="session")
async def strict_platform(servers: AsyncExitStack) -> AsyncIterator[Platform]:
    """As a deployment is: credentials and signatures are required, and the limits hold. Two of each."""
    env = {
        "CALLBOT_AUTH": "required",
        "CALLBOT_SCRIPTED_MS_PER_CHARACTER": str(MS_PER_CHARACTER),
        "CALLBOT_CALLS_AT_ONCE": "1000",
        "CALLBOT_AUTH_ATTEMPTS_PER_ADDRESS": "1000",
    }
    async with running_platform("--scripted", "--replicas", "2", env=env) as running:
        yield running


@pytest.fixture(scope="session")
async def api(platform: Platform) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(platform.url, timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture(scope="session")
async def emulator(platform: Platform) -> AsyncIterator[Emulator]:
    async with Emulator(platform.url, account=platform.twilio.accounts.platform) as emulator:
        yield emulator


async def record_in(api: aiohttp.ClientSession, call_id: str) -> dict[str, Any]:
    """The call's record, once it is complete."""
    for _ in range(100):
        async with api.get(f"/v1/calls/{call_id}") as answer:
            if answer.status == 200 and (call := await answer.json())["ended_at"]:
                return dict(call)
        await asyncio.sleep(0.1)
    raise AssertionError(f"the record of {call_id} was not completed")


_numbers = itertools.count(1)


@pytest.fixture
def name() -> str:
    """Of this test's bot at the customer."""
    return f"bot{next(_numbers)}"


@pytest.fixture
def make_bot(api: aiohttp.ClientSession, customer: Customer, name: str) -> BotMaker:
    """`await make_bot(day)` creates a bot whose webhook has such a day, and returns the bot's id."""

    async def make(day: str = "echo", **fields: Any) -> str:
        bot = {"goal": "Test", "webhook": customer.webhook(day, name), **fields}
        async with api.post("/v1/bots", json=bot) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["id"])

    return make


@pytest.fixture
def record_of(api: aiohttp.ClientSession) -> Callable[[str], Awaitable[dict[str, Any]]]:
    """The call's record, once it is complete."""

    async def read(call_id: str) -> dict[str, Any]:
        return await record_in(api, call_id)

    return read


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    """Of the test's own rows."""
    return Table(request.node.name, request.config.getoption("--whole-table"))
