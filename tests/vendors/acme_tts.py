"""The server of the vendor that examples/provider-plugin is written for. Nobody has it but us."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from tests.vendors.http_audio import spoken
from tests.vendors.tts_vendor import CHATTER, KEY, RETRY_AFTER_S, Day, TtsVendor

STATUS: Final = {Day.REFUSED: 401, Day.BUSY: 429, Day.BUSY_FOR: 429, Day.BROKEN: 500, Day.OUT_OF_QUOTA: 402}


class AcmeTts(TtsVendor):
    name = "acme"
    voice = "bert"

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self._stack = AsyncExitStack()

    @property
    def environment(self) -> Mapping[str, str]:
        return {"ACME_BASE_URL": self.url, "ACME_API_KEY": KEY}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.post("/v1/speak", self._speak), web.get("/v1/voices", self._voices)])
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

    def _refusal(self, request: web.Request) -> web.Response | None:
        self.connects(request.transport)
        status = STATUS.get(self.day)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            self.complaints.append("wrong credentials")
            status = 401
        headers = {"Retry-After": str(RETRY_AFTER_S)} if self.day is Day.BUSY_FOR else {}
        return web.Response(status=status, text=f"{CHATTER} {KEY}", headers=headers) if status else None

    async def _voices(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response(["anna", "bert"])

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        await self.begins(body["text"], voice=body["voice"], connection=request.transport)
        if refusal := self._refusal(request):
            return refusal
        if (body.pop("encoding"), body.pop("rate")) != ("mulaw", 8000) or set(body) != {"text", "voice"}:
            self.complaints.append(f"fields: {sorted(body)}")
        if body["voice"] not in ("anna", "bert"):
            return web.Response(status=404, text=CHATTER)
        kind = "audio/wav" if self.day is Day.WRONG_RATE else "audio/basic"
        return await spoken(self, request, body["text"], {"Content-Type": kind})
