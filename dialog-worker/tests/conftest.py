"""Real servers on loopback that play the customer and the model's vendor; the sample webhooks."""

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from callbot.dialog_worker.settings import Settings
from callbot.schemas.calls import CallBrief
from callbot.schemas.dialog import TurnOpened
from callbot.schemas.webhook import HistoryEntry, WebhookRequest
from tests.samples import CALL_ID, WEBHOOK_KEYS, a_brief
from tests.servers import free_port

EXAMPLES = Path(__file__).parents[2] / "examples/webhooks"
EXAMPLE_SECRET = "s3cret-s3cret-s3cret"

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
            "webhook_keys": WEBHOOK_KEYS,
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


@pytest.fixture(scope="session")
def webhook_request() -> WebhookRequest:
    return WebhookRequest(
        bot_id="abc123",
        user_text="Table for 4 at 7PM",
        llm_suggestion="Ask for name and phone",
        history=[
            HistoryEntry(role="user", content="Hi"),
            HistoryEntry(role="bot", content="Hello! How can I help?"),
        ],
        timestamp=datetime(2025, 4, 5, 10, 5, tzinfo=UTC),
        call_id="CA" + "0" * 32,
        turn_id="CA" + "0" * 32 + ".3",
        from_number="+14155550100",
        to_number="+14155551234",
        language="en-US",
    )


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


@dataclass
class Example:
    """A sample webhook, as its own process."""

    url: str
    process: Process


def _example_command(language: str, port: int) -> list[str]:
    if language == "python":
        return [sys.executable, str(EXAMPLES / "python/booking_bot.py"), f"--port={port}"]
    if language == "node":
        return [shutil.which("node") or "node", str(EXAMPLES / "node/booking_bot.mjs"), f"--port={port}"]
    php = shutil.which("php")
    if php is None:
        pytest.skip("php is not installed")
    return [php, "-S", f"127.0.0.1:{port or free_port()}", str(EXAMPLES / "php/booking_bot.php")]


@asynccontextmanager
async def _running_example(language: str, home: Path, secret: str) -> AsyncIterator[Example]:
    environment = {"TMPDIR": str(home), "PATH": "/usr/bin:/bin", "CALLBOT_WEBHOOK_SECRET": secret}
    program = _example_command(language, 0)
    process = await asyncio.create_subprocess_exec(*program, stdout=PIPE, stderr=PIPE, env=environment)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            if language == "php":
                while b" started" not in (line := await process.stderr.readline()):
                    assert line, "php has ended"
                url = f"http://{program[2]}/bot"
            else:
                url = (await process.stdout.readline()).decode().split()[-1]
        yield Example(url, process)
    finally:
        process.terminate()
        await process.communicate()


@pytest.fixture(scope="session")
def example_command() -> Callable[[str, int], list[str]]:
    return _example_command


@pytest.fixture(scope="session")
def run_example() -> Callable[[str, Path, str], AbstractAsyncContextManager[Example]]:
    """`async with run_example(language, home, secret)`: home is where it may write."""
    return _running_example


@pytest.fixture(scope="module", params=["python", "node", "php"])
async def bot(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """URL of each sample in turn, with its secret set."""
    async with _running_example(request.param, tmp_path_factory.mktemp("bot"), EXAMPLE_SECRET) as example:
        yield example.url
