"""A platform for the emulator's tests: an aiohttp server that answers as a test wants, well or badly."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from callbot.schemas.text_audio import audible, texts_in
from callbot.studio.emulator.signature import HEADER, request_signature, upgrade_signature

TOKEN = "emulator-auth-token"


@dataclass
class Socket:
    """The platform's end of one stream."""

    ws: web.WebSocketResponse
    request: web.Request
    sid: str = ""
    start: dict[str, Any] = field(default_factory=dict)
    received: list[dict[str, Any]] = field(default_factory=list)

    async def next(self, event: str = "") -> dict[str, Any]:
        """The next message of that event; TypeError when the socket is over."""
        while True:
            message = json.loads(await self.ws.receive_str())
            self.received.append(message)
            if message["event"] == "start":
                self.sid, self.start = message["streamSid"], message["start"]
            if event in ("", message["event"]):
                return message

    async def rest(self) -> None:
        try:
            while True:
                await self.next()
        except TypeError:
            return

    async def send(self, event: str, body: dict[str, Any] | None = None, **other: Any) -> None:
        message = {"event": event, "streamSid": self.sid, **other}
        await self.ws.send_json(message if body is None else {**message, event: body})

    async def play(self, audio: bytes) -> None:
        await self.send("media", {"payload": base64.b64encode(audio).decode()})

    async def speak(self, text: str, ms_per_character: int = 10) -> None:
        await self.play(audible(text, ms_per_character))

    def events(self) -> list[str]:
        return [message["event"] for message in self.received]


Conversation = Callable[[Socket], Awaitable[None]]


@dataclass
class Platform:
    """`documents` by path: TwiML, or a response of its own; `conversations` one for each stream, in order."""

    documents: dict[str, Any] = field(default_factory=dict)
    conversations: list[Conversation] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    url: str = ""
    token: str | None = TOKEN
    """Of the account whose signature every request must bear; None: no request may bear one."""

    def form(self, path: str) -> dict[str, str]:
        return next(form for at, form in self.requests if at == path)

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def connects(self, *conversations: Conversation, action: str = "/v1/voice/next?call=1") -> None:
        url = self.url.replace("http", "ws")
        self.conversations.extend(conversations)
        self.documents["/v1/voice"] = (
            f'<Response><Connect action="{action}"><Stream url="{url}/voice/stream/bot_1">'
            '<Parameter name="token" value="a&amp;b"/></Stream></Connect></Response>'
        )
        self.documents.setdefault("/v1/voice/next", "<Response><Hangup/></Response>")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        url = self.url + request.path_qs
        right = request_signature(self.token, url, form) if self.token else None
        assert request.headers.get(HEADER) == right
        self.requests.append((request.path, form))
        document = self.documents.get(request.path)
        if document is None:
            raise web.HTTPNotFound
        if callable(document):
            document = await document(request)
        if isinstance(document, web.StreamResponse):
            return document
        return web.Response(body=document, content_type="application/xml")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        url = self.url.replace("http", "ws") + request.path_qs
        right = upgrade_signature(self.token, url) if self.token else None
        assert request.headers.get(HEADER) == right
        ws = web.WebSocketResponse(autoclose=False, max_msg_size=0)
        await ws.prepare(request)
        socket = Socket(ws, request)
        conversation = self.conversations[len(self.sockets)]
        self.sockets.append(socket)
        await conversation(socket)
        if not ws.closed and request.transport is not None:
            await ws.close()
        return ws


@asynccontextmanager
async def running_platform(token: str | None = TOKEN) -> AsyncIterator[Platform]:
    platform = Platform(token=token)
    app = web.Application()
    app.router.add_get("/voice/stream/{bot_id}", platform.stream)
    app.router.add_route("*", "/v1/{tail:.*}", platform.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        platform.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield platform
    finally:
        await runner.cleanup()


async def echo(socket: Socket) -> None:
    """Greets, then says again each text that it hears, until the caller hangs up."""
    await socket.next("start")
    await socket.speak("Hello")
    heard = bytearray()
    try:
        while True:
            message = await socket.next("media")
            heard += base64.b64decode(message["media"]["payload"])
            if texts := list(texts_in(bytes(heard))):
                if not heard.endswith(b"\xff" * 160):
                    continue  # still speaking
                heard.clear()
                await socket.speak(f"You said {texts[-1]}")
    except TypeError:
        return


async def silent(socket: Socket) -> None:
    await socket.rest()
