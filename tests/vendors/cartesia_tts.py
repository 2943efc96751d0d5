"""Cartesia's WebSocket and list of voices.

As in https://docs.cartesia.ai/api-reference/tts/websocket,
https://docs.cartesia.ai/use-the-api/api-errors and
https://docs.cartesia.ai/use-the-api/concurrency-limits-and-timeouts.
"""

import asyncio
import base64
import json
import re
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import WSMsgType, web

from tests.vendors.http_audio import WRITTEN_S, abort, pieces_of
from tests.vendors.speech_tones import spoken_mulaw
from tests.vendors.tts_vendor import CHATTER, KEY, RETRY_AFTER_S, Day, TtsVendor

KATIE: Final = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
BARBERSHOP: Final = "a0e99841-438c-4a64-b679-ae501e7d6091"
LIKE_KATIE: Final = 120
FIELDS: Final = {
    "context_id", "model_id", "transcript", "voice", "language", "output_format", "continue",
    "max_buffer_delay_ms",
}  # fmt: skip
MODELS: Final = {"sonic-3.5"}
STATUS: Final = {
    Day.REFUSED: (401, "unauthorized"),
    Day.BUSY: (429, "concurrency_limited"),
    Day.BUSY_FOR: (429, "concurrency_limited"),
    Day.BROKEN: (500, None),
    Day.OUT_OF_QUOTA: (402, "quota_exceeded"),
}


class CartesiaTts(TtsVendor):
    name = "cartesia"
    # A message does not tell the rate of its audio.
    days = frozenset(Day) - {Day.WRONG_RATE}
    voice = "katie"

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.idle_s = 300.0
        self.generating_at_once = 100
        self.generating = 0
        self.sockets: list[web.WebSocketResponse] = []
        self.opened = 0
        self.cancelled: list[str] = []
        named = [{"id": KATIE, "name": "Katie", "language": "en"}]
        named.append({"id": BARBERSHOP, "name": "Barbershop Man", "language": "en"})
        found = [{"id": f"{n:032}", "name": f"Like Katie {n}", "language": "de"} for n in range(LIKE_KATIE)]
        self.voices = [*found, *named]
        self._stack = AsyncExitStack()

    @property
    def environment(self) -> Mapping[str, str]:
        return {"CARTESIA_API_KEY": KEY, "CARTESIA_BASE_URL": self.url}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.get("/tts/websocket", self._socket), web.get("/voices", self._list)])
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

    async def news(self) -> None:
        await self._tell()

    def error(self, status: int, code: str | None) -> dict[str, Any]:
        return {"error_code": code, "title": CHATTER, "message": f"{CHATTER} {KEY}", "request_id": "r-1"}

    def _not_let_in(self, request: web.Request) -> web.Response | None:
        self.connects(request.transport)
        if request.headers.get("X-API-Key") != KEY:
            self.complaints.append("no key in the header")
            return web.json_response(self.error(401, "unauthorized"), status=401)
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", request.headers.get("Cartesia-Version", "")):
            self.complaints.append("no version in the header")
            return web.json_response(self.error(400, "bad_version"), status=400)
        if self.day in STATUS:
            status, code = STATUS[self.day]
            headers = {"Retry-After": str(RETRY_AFTER_S)} if self.day is Day.BUSY_FOR else {}
            return web.json_response(self.error(status, code), status=status, headers=headers)
        return None

    async def _list(self, request: web.Request) -> web.Response:
        if refusal := self._not_let_in(request):
            return refusal
        if unknown := set(request.query) - {"limit", "starting_after", "q"}:
            self.complaints.append(f"unknown parameters of a list: {unknown}")
        found = [v for v in self.voices if request.query.get("q", "").lower() in v["name"].lower()]
        after = request.query.get("starting_after")
        begin = next((n + 1 for n, v in enumerate(found) if v["id"] == after), 0)
        end = begin + int(request.query.get("limit", 10))
        return web.json_response({"data": found[begin:end], "has_more": end < len(found)})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._not_let_in(request):
            return refusal
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.sockets.append(ws)
        self.opened += 1
        await self._tell()
        try:
            await Connection(self, request, ws).run()
        finally:
            self.sockets.remove(ws)
        return ws


class Connection:
    def __init__(self, vendor: CartesiaTts, request: web.Request, ws: web.WebSocketResponse) -> None:
        self._vendor = vendor
        self._request = request
        self._ws = ws
        self._used: set[str] = set()
        self._speaking: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        try:
            await self._serve()
        finally:
            left = list(self._speaking.values())
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            for _ in left:
                await self._vendor.gives_up()

    async def _serve(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._vendor.idle_s):
                    message = await self._ws.receive()
            except TimeoutError:
                await self._ws.close(code=1000, message=b"connection idle timeout")
                return
            if message.type is not WSMsgType.TEXT:
                return
            told = json.loads(message.data)
            context = told.get("context_id")
            if told.get("cancel"):
                await self._cancel(context)
            elif wrong := self._wrong(told):
                self._vendor.complaints.append(wrong)
                await self._refuse(context, 400, "bad_request")
            else:
                await self._begin(context, told)

    def _wrong(self, told: dict[str, Any]) -> str:
        if set(told) != FIELDS:
            return f"fields: {sorted(told)}"
        if told["output_format"] != {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000}:
            return "not mu-law"
        if told["model_id"] not in MODELS or set(told["voice"]) != {"mode", "id"}:
            return "an unknown model, or a voice without mode and id"
        if not 0 <= told["max_buffer_delay_ms"] <= 5000 or not re.fullmatch(r"[a-z]{2}", told["language"]):
            return "wrong delay or language"
        return "a context that was used before" if told["context_id"] in self._used else ""

    async def _begin(self, context: str, told: dict[str, Any]) -> None:
        vendor = self._vendor
        self._used.add(context)
        voice = told["voice"]["id"]
        await vendor.begins(told["transcript"], voice=voice, connection=self._request.transport)
        if all(v["id"] != voice for v in vendor.voices):
            await self._refuse(context, 404, "voice_not_found")
        elif vendor.day in STATUS:
            await self._refuse(context, *STATUS[vendor.day])
        elif vendor.generating >= vendor.generating_at_once:
            await self._refuse(context, 429, "concurrency_limited")
        else:
            delay_s = told["max_buffer_delay_ms"] / 1000 if told["continue"] else 0.0
            self._spawn(context, self._say(context, told["transcript"], vendor.day, delay_s))

    async def _cancel(self, context: str) -> None:
        self._vendor.cancelled.append(context)
        if task := self._speaking.pop(context, None):
            task.cancel()
            await self._vendor.gives_up()

    async def _refuse(self, context: str, status: int, code: str | None) -> None:
        event = {**self._vendor.error(status, code), "type": "error", "done": True, "status_code": status}
        await self._ws.send_json({**event, "context_id": context})

    async def _say(self, context: str, text: str, day: Day, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        if day is Day.MALFORMED:
            await self._ws.send_str(f"{CHATTER} {{")
            return
        pieces = pieces_of(spoken_mulaw(text))
        if day in (Day.STALLS, Day.CUT):
            pieces = pieces[: len(pieces) // 2]
        about = {"context_id": context, "status_code": 206, "done": False}
        if day is not Day.SLOW:
            self._vendor.gives_audio()
            for piece in pieces:
                data = base64.b64encode(piece).decode()
                await self._ws.send_json({**about, "type": "chunk", "data": data, "step_time": 1.5})
        if day is Day.CUT:
            await asyncio.sleep(WRITTEN_S)
            abort(self._request)
            return
        if day in (Day.SLOW, Day.STALLS):
            await asyncio.Event().wait()
        await self._ws.send_json({**about, "type": "flush_done", "flush_done": True, "flush_id": 1})
        await self._ws.send_json({**about, "type": "done", "done": True})

    def _spawn(self, context: str, work: Coroutine[Any, Any, None]) -> None:
        self._vendor.generating += 1
        task = self._speaking[context] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._spoken(context))

    def _spoken(self, context: str) -> None:
        self._vendor.generating -= 1
        self._speaking.pop(context, None)
