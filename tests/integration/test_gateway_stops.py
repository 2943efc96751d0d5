"""SIGTERM at a gateway of its own process, while a stream is becoming a call and while one is.

The test is Twilio and call-router. There are no workers: what the caller hears is the gateway's own memory.
"""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

from callbot.call_router.memory import ensure_memory
from callbot.runtime.bus import connect
from callbot.schemas.calls import AdmitStream, CallBrief
from callbot.schemas.subjects import CALL_ADMIT
from tests.samples import a_brief
from tests.servers import Server, free_port, nats_server, url_for

WITHIN_S = 15.0
LONG_S, SHORT_S = 60.0, 0.2


class Router:
    """call-router, which lets every stream in as soon as `admits` is set."""

    def __init__(self) -> None:
        self.asked, self.admits = asyncio.Event(), asyncio.Event()

    async def admit(self, question: AdmitStream) -> CallBrief:
        self.asked.set()
        await self.admits.wait()
        return a_brief(call_id=question.call_id, bot_id=question.bot_id)


@dataclass
class Gateway:
    process: asyncio.subprocess.Process
    port: int
    health: str

    async def is_told_to_stop(self) -> None:
        """SIGTERM; returns when it takes nothing new, or is gone."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession(self.health) as http:
            try:
                while await _takes_calls(http):
                    await asyncio.sleep(0.01)
            except aiohttp.ClientConnectionError:
                return

    async def ends(self) -> int:
        async with asyncio.timeout(WITHIN_S):
            return await self.process.wait()


async def _takes_calls(http: aiohttp.ClientSession) -> bool:
    async with http.get("/ready") as answer:
        return bool((await answer.json())["checks"]["taking"])


@pytest.fixture
async def nats_here(tmp_path: Path) -> AsyncIterator[Server]:
    server = nats_server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def router(nats_here: Server) -> AsyncIterator[Router]:
    router = Router()
    async with connect(url_for("call-router", nats_here), speaks_as="call-router") as bus:
        await ensure_memory(bus.jetstream(), 1)
        await bus.answer(CALL_ADMIT, router.admit)
        await bus.flush()
        yield router


@asynccontextmanager
async def gateway(nats: Server, drain_s: float) -> AsyncIterator[Gateway]:
    """Ready, and killed at the end."""
    port, health = free_port(), free_port()
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CALLBOT_")},
        "NATS_URL": url_for("gateway", nats),
        "CALLBOT_PORT": str(port),
        "CALLBOT_HEALTH_PORT": str(health),
        "CALLBOT_DRAIN_S": str(drain_s),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "callbot.gateway", env=env, stderr=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{health}"
    try:
        async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession(url) as http:
            while True:
                try:
                    if await _takes_calls(http):
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        yield Gateway(process, port, url)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def line_to(gateway: Gateway) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Twilio's socket, accepted."""
    url = f"http://127.0.0.1:{gateway.port}/v1/voice/stream/bot_1"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as line:
        yield line


async def starts(line: aiohttp.ClientWebSocketResponse) -> None:
    start = {"callSid": "CA" + secrets.token_hex(16), "customParameters": {"token": "any"}}
    await line.send_json({"event": "start", "streamSid": "MZ1", "start": start})


async def hears(line: aiohttp.ClientWebSocketResponse) -> bool:
    """Whether the bot says anything; False when the line is closed instead."""
    async with asyncio.timeout(WITHIN_S):
        async for message in line:
            if message.type is WSMsgType.TEXT and message.json()["event"] == "media":
                return True
    return False


async def is_closed_with(line: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(WITHIN_S):
        async for _ in line:
            continue
    return line.close_code


async def hangs_up(line: aiohttp.ClientWebSocketResponse) -> None:
    await line.send_json({"event": "stop", "streamSid": "MZ1", "stop": {}})


async def test_a_stream_that_has_not_begun_is_served_to_its_end(nats_here: Server, router: Router) -> None:
    router.admits.set()
    async with gateway(nats_here, LONG_S) as going, line_to(going) as line:
        await going.is_told_to_stop()
        await starts(line)
        assert await hears(line)
        await hangs_up(line)
        assert await going.ends() == 0


async def test_a_stream_that_is_being_admitted_is_served_to_its_end(
    nats_here: Server, router: Router
) -> None:
    async with gateway(nats_here, LONG_S) as going, line_to(going) as line:
        await starts(line)
        async with asyncio.timeout(WITHIN_S):
            await router.asked.wait()
        await going.is_told_to_stop()
        router.admits.set()
        assert await hears(line)
        await hangs_up(line)
        assert await going.ends() == 0


async def test_what_has_not_begun_when_the_drain_is_over_is_closed_so_that_twilio_asks(
    nats_here: Server, router: Router
) -> None:
    """1012, service restart; `/v1/voice/next` at another gateway sends the call to a new stream."""
    async with gateway(nats_here, SHORT_S) as going, line_to(going) as line:
        await going.is_told_to_stop()
        assert await is_closed_with(line) == 1012
        assert await going.ends() == 0


async def test_a_second_sigterm_cuts_no_call(nats_here: Server, router: Router) -> None:
    router.admits.set()
    async with gateway(nats_here, LONG_S) as going, line_to(going) as line:
        await starts(line)
        assert await hears(line)
        await going.is_told_to_stop()
        going.process.send_signal(signal.SIGTERM)
        async with aiohttp.ClientSession(going.health) as http, http.get("/status") as answer:
            assert (await answer.json())["live_calls"] == 1
        # Nobody works here, so that it says again and again that it is sorry.
        assert await hears(line)
        await hangs_up(line)
        assert await going.ends() == 0


async def test_a_live_call_goes_on_elsewhere_when_the_drain_is_over(
    nats_here: Server, router: Router
) -> None:
    router.admits.set()
    async with gateway(nats_here, SHORT_S) as going, line_to(going) as line:
        await starts(line)
        assert await hears(line)
        await going.is_told_to_stop()
        assert await is_closed_with(line) == 1000
        assert await going.ends() == 0
