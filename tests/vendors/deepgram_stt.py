"""Deepgram's streaming recognition on this machine: Nova on /v1/listen, Flux on /v2/listen.

From https://developers.deepgram.com/reference/speech-to-text/listen-streaming and …/listen-flux, and the
types of deepgram-sdk 7.17. A connection's own part is in deepgram_nova.py and deepgram_flux.py beside it.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import WSMsgType, web

from callbot.schemas.audio import BYTES_PER_MS
from tests.vendors.deepgram_flux import FLUX_RULES, FluxSession
from tests.vendors.deepgram_hearing import Hearing
from tests.vendors.deepgram_nova import NOVA_RULES, NovaSession
from tests.vendors.deepgram_sending import Connection
from tests.vendors.stt_vendor import CHATTER, KEY, RETRY_AFTER_S, Day

FASTEST = 1.25
HEAD_START_MS = 1500
"""Audio may be so much ahead of what real time allows."""
CUT_AFTER_MS = 60
"""In the middle of the first speech."""
STATUS_OF = {Day.REFUSED: 401, Day.OUT_OF_QUOTA: 402, Day.BUSY: 429, Day.BUSY_FOR: 429, Day.BROKEN: 500}
Parameters = Mapping[str, list[str]]
Rule = Callable[[list[str], Parameters], bool]


class Session(Protocol):
    """One connection's protocol. What it yields is sent in that order."""

    def greet(self) -> list[dict[str, Any]]: ...

    def hear(self, before: int) -> list[dict[str, Any]]:
        """New audio lies in its hearing, from there on."""

    def told(self, kind: str) -> list[dict[str, Any]] | None:
        """A text message. None: no such message is in the protocol."""

    def says_bye(self) -> list[dict[str, Any]]: ...


class DeepgramServer:
    """An SttVendor. `patience_s`: what is ten seconds at the vendor."""

    path = "/v1/listen"
    malformed = "{no json"
    rules: Mapping[str, Rule] = {}

    def __init__(self, *, ms_per_character: int = 10, patience_s: float = 10.0) -> None:
        self.day = Day.GOOD
        self.complaints: list[str] = []
        self.parameters: list[dict[str, list[str]]] = []
        """Of each connection that was asked for."""
        self.messages: Counter[str] = Counter()
        """Texts that we have sent, by their type."""
        self.begun = 0
        self.open_connections = 0
        self.sockets: list[web.WebSocketResponse] = []
        self._live: list[Connection] = []
        self.url = ""
        self._ms_per_character = ms_per_character
        self._patience_s = patience_s
        self._stack = AsyncExitStack()
        self._news = asyncio.Event()

    @property
    def environment(self) -> Mapping[str, str]:
        return {"DEEPGRAM_BASE_URL": self.url, "DEEPGRAM_API_KEY": KEY}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.get(self.path, self._listen)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def session(self, hearing: Hearing, parameters: Parameters) -> Session:
        raise NotImplementedError

    def turns(self, day: Day) -> None:
        """Open connections have this day too; where it lets nobody in, they are torn."""
        self.day = day
        for connection in self._live:
            connection.day = day
            connection.was_good &= day is Day.GOOD
            if day in STATUS_OF and connection.transport is not None:
                connection.transport.close()

    async def until(self, holds: Callable[[], bool], within_s: float = 10.0) -> None:
        """For tests. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not holds():
                await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        self.begun += 1
        parameters = {name: request.query.getall(name) for name in request.query}
        self.parameters.append(parameters)
        if (refusal := self._refusal(request, parameters)) is not None:
            return refusal
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        connection = Connection(socket, request.transport, self.day, self.malformed)
        self._live.append(connection)
        self.open_connections += 1
        self._tell()
        try:
            await self._serve(connection, parameters)
        finally:
            self._ended(connection)
        return socket

    def _ended(self, connection: Connection) -> None:
        self.open_connections -= connection.is_open
        self._live = [live for live in self._live if live is not connection]
        connection.is_open = False
        self._tell()

    def _refusal(self, request: web.Request, parameters: Parameters) -> web.Response | None:
        shown = request.headers.get("Authorization", "")
        headers = {"dg-error": f"{CHATTER} {shown}", "dg-request-id": "1"}
        body = f'{{"err_code": "X", "err_msg": "{CHATTER} {shown}"}}'
        status = STATUS_OF.get(self.day, 0)
        if self.day is Day.BUSY_FOR:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        if not status and shown != f"Token {KEY}":
            status = 401
        if not status and (wrong := self._wrong_parameters(parameters)):
            self.complaints.append(wrong)
            status = 400
        return web.Response(status=status, headers=headers, text=body) if status else None

    def _wrong_parameters(self, parameters: Parameters) -> str:
        for name, values in parameters.items():
            if name not in self.rules:
                return f"no parameter {name} is known"
            if not self.rules[name](values, parameters):
                return f"{name} may not be {values}"
        missing = {"model", "encoding", "sample_rate"} - set(parameters)
        return f"{missing} missing" if missing else ""

    async def _serve(self, connection: Connection, parameters: Parameters) -> None:
        hearing = Hearing(self._ms_per_character)
        session = self.session(hearing, parameters)
        sending = asyncio.create_task(connection.send_for_ever())
        connection.send(session.greet())
        try:
            await self._hear_for_ever(connection, session, hearing)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _hear_for_ever(self, connection: Connection, session: Session, hearing: Hearing) -> None:
        socket, chatter = connection.socket, f"{CHATTER} {KEY}"
        begun_s: float | None = None
        while True:
            try:
                message = await socket.receive(timeout=self._patience_s)
            except TimeoutError:
                await socket.close(code=1011, message=f"NET-0001 {chatter}".encode())
                return
            match message.type:
                case WSMsgType.BINARY:
                    begun_s = begun_s or time.monotonic()
                    if not await self._heard(connection, session, hearing, message.data, begun_s):
                        return
                case WSMsgType.TEXT:
                    if not await self._told(connection, session, message.data):
                        return
                case _:
                    if connection.was_good:
                        self.complaints.append("closed without CloseStream")
                    return

    async def _heard(
        self, connection: Connection, session: Session, hearing: Hearing, audio: bytes, begun_s: float
    ) -> bool:
        """False: the connection is over."""
        before = len(hearing)
        hearing.add(audio)
        self._tell()
        chatter = f"{CHATTER} {KEY}"
        if connection.day is Day.WRONG_RATE:
            await connection.socket.close(code=1008, message=f"DATA-0000 {chatter}".encode())
            return False
        if connection.day is Day.CUT and hearing.voiced_to >= CUT_AFTER_MS * BYTES_PER_MS:
            await connection.socket.close(code=1011, message=f"NET-0000 {chatter}".encode())
            return False
        allowed_ms = (time.monotonic() - begun_s) * 1000 * FASTEST + HEAD_START_MS
        if len(hearing) / BYTES_PER_MS > allowed_ms:
            self.complaints.append("audio came too fast")
            await connection.socket.close(code=1011, message=f"NET-0000 {chatter}".encode())
            return False
        connection.send(session.hear(before))
        return True

    async def _told(self, connection: Connection, session: Session, text: str) -> bool:
        """False: the connection is over."""
        try:
            kind = str(json.loads(text)["type"])
        except (ValueError, KeyError, TypeError):
            kind = "nothing that is JSON"
        self.messages[kind] += 1
        self._tell()
        if kind == "CloseStream" and connection.day is Day.STALLS:
            return True
        if kind == "CloseStream":
            connection.send(session.says_bye())
            if connection.day is not Day.SLOW:
                await connection.drain()
            self._ended(connection)
            await connection.socket.close(code=1000)
            return False
        answers = session.told(kind)
        if answers is None:
            self.complaints.append(f"no message {kind} is known")
            answers = [{"type": "Error", "sequence_id": 0, "variant": "SchemaError", "code": "BAD_REQUEST"}]
        connection.send(answers)
        return True


class DeepgramNova(DeepgramServer):
    rules = NOVA_RULES

    def session(self, hearing: Hearing, parameters: Parameters) -> Session:
        return NovaSession(hearing, endpointing_ms=int(parameters.get("endpointing", ["10"])[0]))


class DeepgramFlux(DeepgramServer):
    path = "/v2/listen"
    malformed = '{"type": "TurnInfo", "sequence_id": 1, "event": "Update"}'
    rules = FLUX_RULES

    @property
    def environment(self) -> Mapping[str, str]:
        return {**super().environment, "CALLBOT_DEEPGRAM_STT_MODEL": "flux-general-en"}

    def session(self, hearing: Hearing, parameters: Parameters) -> Session:
        eager = parameters.get("eager_eot_threshold")
        return FluxSession(
            hearing,
            eot_threshold=float(parameters.get("eot_threshold", ["0.7"])[0]),
            eager_eot_threshold=float(eager[0]) if eager else None,
            eot_timeout_ms=int(parameters.get("eot_timeout_ms", ["5000"])[0]),
        )
