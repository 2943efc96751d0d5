"""A server that speaks PlayHT's HTTP stream, v2, as the vendor's own did.

As in https://docs.play.ht/reference/api-generate-tts-audio-stream (kept copies: the service has ended).
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from tests.vendors.http_audio import spoken, wav_header
from tests.vendors.tts_vendor import CHATTER, KEY, RETRY_AFTER_S, Day, TtsVendor

USER: Final = "user-of-the-tests"
LARRY: Final = "s3://peregrine-voices/larry/manifest.json"
JENNIFER: Final = "s3://voice-cloning-zero-shot/d9ff78ba-d016-47f6-b0ef-dd630f59414e/female-cs/manifest.json"
FIELDS: Final = {"text", "voice", "voice_engine", "output_format", "sample_rate"}
STATUS: Final = {
    Day.REFUSED: (403, "FORBIDDEN"),
    Day.BUSY: (429, "TOO_MANY_REQUESTS"),
    Day.BUSY_FOR: (429, "TOO_MANY_REQUESTS"),
    Day.BROKEN: (500, "INTERNAL_SERVER_ERROR"),
    Day.OUT_OF_QUOTA: (403, "OUT_OF_CREDITS"),
}


class PlayHTTts(TtsVendor):
    name = "playht"
    voice = LARRY
    secrets = (KEY, USER)

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.with_header = False
        """Mu-law in a WAV file, as some compatible servers send it."""
        self._stack = AsyncExitStack()

    @property
    def environment(self) -> Mapping[str, str]:
        return {"PLAYHT_BASE_URL": self.url, "PLAYHT_API_KEY": KEY, "PLAYHT_USER_ID": USER}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [web.post("/api/v2/tts/stream", self._stream), web.get("/api/v2/voices", self._voices)]
        )
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

    def _not_let_in(self, request: web.Request) -> web.Response | None:
        self.connects(request.transport)
        if (request.headers.get("Authorization"), request.headers.get("X-USER-ID")) != (
            f"Bearer {KEY}",
            USER,
        ):
            self.complaints.append("wrong credentials")
            return self._refusal(403, "FORBIDDEN")
        return self._refusal(*STATUS[self.day]) if self.day in STATUS else None

    def _refusal(self, status: int, id: str) -> web.Response:
        headers = {"Retry-After": str(RETRY_AFTER_S)} if self.day is Day.BUSY_FOR else {}
        body = {"error_id": id, "error_message": f"{CHATTER} {KEY}"}
        return web.json_response(body, status=status, headers=headers)

    async def _voices(self, request: web.Request) -> web.Response:
        return self._not_let_in(request) or web.json_response([{"id": LARRY, "name": "Larry"}])

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        await self.begins(str(body.get("text")), voice=str(body.get("voice")), connection=request.transport)
        if refusal := self._not_let_in(request):
            return refusal
        if body.get("voice") not in (LARRY, JENNIFER):
            return self._refusal(400, "VOICE_NOT_FOUND")
        if set(body) != FIELDS or (body["output_format"], body["sample_rate"]) != ("mulaw", 8000):
            self.complaints.append(f"fields: {sorted(body)}")
            return self._refusal(400, "BAD_REQUEST")
        head = wav_header(7, 8000, 8) if self.with_header else b""
        return await spoken(self, request, body["text"], {"Content-Type": "audio/basic"}, head=head)
