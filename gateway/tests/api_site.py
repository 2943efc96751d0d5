"""The gateway's site on a real socket and a real NATS, with a call-router that answers as a test wants it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web

from callbot.gateway.api.routes import ROUTES
from callbot.gateway.app import make_app
from callbot.gateway.main import live_calls
from callbot.gateway.protocol_errors import Runner
from callbot.gateway.settings import Settings
from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import Refused, Silent
from callbot.schemas.bots import Bot
from callbot.schemas.message import Message
from callbot.schemas.subjects import Question
from tests.servers import Server, url_for

TOKEN = {"Authorization": "Bearer t.o.ken"}
Answer = Message | Refused | Callable[[Any], Message]


class ApiRouter:
    """call-router, as a test wants it: what it was asked, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self._answers: dict[str, Answer] = {}

    def answers(self, row: Question[Any, Any], answer: Answer) -> None:
        self._answers[row.name] = answer

    def forget(self) -> None:
        self.asked.clear()
        self._answers.clear()

    async def listen(self, bus: Bus) -> None:
        for row in {route.row.name: route.row for route in ROUTES}.values():
            await bus.answer(row, self._on(row))
        await bus.flush()

    def _on(self, row: Question[Any, Any]) -> Callable[[Any], Any]:
        async def on(question: Any) -> Message:
            self.asked.append(question)
            answer = self._answers.get(row.name)
            if answer is None:
                raise Silent
            if isinstance(answer, Refused):
                raise answer
            return answer if isinstance(answer, Message) else answer(question)

        return on


@dataclass
class Site:
    app: web.Application
    url: str
    port: int
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        """Status, headers and the JSON that came back, None where there was none."""
        options["headers"] = {**TOKEN, **options.get("headers", {})}
        async with self.http.request(method, path, **options) as answer:
            body = await answer.read()
            return answer.status, answer.headers, await answer.json() if body else None

    async def raw(self, request: bytes, within_s: float = 5) -> bytes:
        """What comes back for these bytes until the connection is closed, or nothing has come for a while."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        found = b""
        try:
            async with asyncio.timeout(within_s):
                while more := await reader.read(65536):
                    found += more
        except TimeoutError:
            return found
        finally:
            writer.close()
        return found


@asynccontextmanager
async def served(nats: Server, **settings: Any) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        own = Settings(nats_url=url_for("gateway", nats), **settings)
        bus = await stack.enter_async_context(connect(own.nats_url, speaks_as="gateway"))
        calls = await stack.enter_async_context(live_calls(own, bus))
        app = make_app(own, bus, calls)
        runner = Runner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = int(runner.addresses[0][1])
        url = f"http://127.0.0.1:{port}"
        # Nothing of ours is worth waiting for longer than this.
        timeout = aiohttp.ClientTimeout(total=15)
        http = await stack.enter_async_context(aiohttp.ClientSession(url, timeout=timeout))
        yield Site(app, url, port, http)


def a_bot(**changed: Any) -> Bot:
    fields = {
        "id": "bot_1",
        "number": None,
        "goal": "Book a table",
        "webhook": "https://example.com/bot",
        "context": "",
        "voice": "piper:joe",
        "voice_status": "ok",
        "greeting": "Hello!",
        "language": "en-US",
        "transfer_to": None,
        "hints": [],
        "suggest": "full",
        "max_call_seconds": 600,
        "turn": {},
        "phrases": {},
        "protect_greeting": False,
        "record": False,
        "status": "active",
        "default": True,
        "created_at": datetime(2026, 11, 21, tzinfo=UTC),
        "calls_today": 0,
        "version": 3,
    }
    return Bot.model_validate(fields | changed)
