"""Real servers on loopback that play the customer, the model's vendor and the broker."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from callbot.dialog_worker.settings import Settings
from callbot.schemas.calls import CallBrief
from callbot.schemas.dialog import TurnOpened
from callbot.schemas.webhook import HistoryEntry
from tests.samples import CALL_ID, a_brief

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(handler)` → base URL of a server that answers every path with it."""
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture(scope="session")
def settings_with() -> Callable[..., Settings]:
    def settings(**changes: object) -> Settings:
        given: dict[str, object] = {
            "openai_base_url": "http://127.0.0.1:9/v1",
            "openai_model": "tiny",
            "webhook_http": "loopback",
        }
        return Settings(**(given | changes))  # type: ignore[arg-type]

    return settings


@pytest.fixture(scope="session")
def brief_with() -> Callable[..., CallBrief]:
    return a_brief


@pytest.fixture(scope="session")
def turn_with() -> Callable[..., TurnOpened]:
    def turn(number: int = 1, **changes: object) -> TurnOpened:
        fields: dict[str, object] = {
            "epoch": 1024,
            "turn_id": f"{CALL_ID}.{number}",
            "number": number,
            "input": "speech",
            "user_text": "A table for four",
            "history": [HistoryEntry(role="bot", content="Hello!")],
            "elapsed_ms": 0,
        }
        return TurnOpened.model_validate(fields | changes)

    return turn


class Vendor:
    """An OpenAI-compatible server whose replies are scripts: bytes are sent, events are waited for."""

    DONE = b"data: [DONE]\n\n"

    def __init__(self) -> None:
        self.url = ""
        self.script: list[bytes | asyncio.Event] = []
        self.requests: list[dict[str, object]] = []
        self.sent = asyncio.Event()
        """The script has been played up to where it waits or ends."""
        self.closed = asyncio.Event()
        """The client has gone before the end."""
        self.refusal: web.Response | None = None

    @classmethod
    def chunk(cls, content: str | None = None, finish_reason: str | None = None) -> bytes:
        delta = {} if content is None else {"content": content}
        return cls.event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})

    @staticmethod
    def event(data: dict[str, object]) -> bytes:
        whole = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "tiny", **data}
        return b"data: " + json.dumps(whole, ensure_ascii=False).encode() + b"\n\n"

    def says(self, *pieces: str, finish: str = "stop") -> None:
        self.script = [*(self.chunk(p) for p in pieces), self.chunk(finish_reason=finish), self.DONE]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"data": [], "object": "list"})
        self.requests.append(await request.json())
        if self.refusal is not None:
            return self.refusal
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for step in self.script:
                if isinstance(step, bytes):
                    await response.write(step)
                else:
                    self.sent.set()
                    await step.wait()
        except (asyncio.CancelledError, ConnectionError):
            self.closed.set()
            raise
        return response


@pytest.fixture
async def vendor(serve: Serve) -> Vendor:
    vendor = Vendor()
    vendor.url = await serve(vendor.handle) + "/v1"
    return vendor
