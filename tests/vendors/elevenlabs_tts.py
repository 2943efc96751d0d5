"""ElevenLabs' voices: multi-context WebSocket, HTTP stream and the list of voices.

As in the vendor's `fern/apis/api/asyncapi.yml` (github.com/elevenlabs/elevenlabs-docs), its guide
https://elevenlabs.io/docs/eleven-api/guides/how-to/websockets/multi-context-web-socket (five contexts,
`isFinal` after `close_context`, what was flushed is spoken all the same) and
https://elevenlabs.io/docs/api-reference.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from tests.vendors.elevenlabs_socket import Connection
from tests.vendors.http_audio import spoken
from tests.vendors.tts_vendor import CHATTER, KEY, RETRY_AFTER_S, Day, TtsVendor

ALICE: Final = "Xb7hH8MSUJpSbSDYk0k2"
GEORGE: Final = "JBFqnCBsd6RMkjVDRZzb"
SAMS: Final = ("yoZ06aMxZJJ28mfd3POQ", "scOwDtmlUjD3prqpp97I")
TALKS_OF_ALICE: Final = 130
"""Voices whose description is found by a search for her name."""
MODELS: Final = {"eleven_flash_v2_5": True, "eleven_multilingual_v2": True, "eleven_v3": False}
"""Has it WebSockets?"""
TAKE_A_LANGUAGE: Final = {"eleven_flash_v2_5", "eleven_v3"}
SETTINGS: Final = {"stability", "similarity_boost", "style", "use_speaker_boost", "speed"}
HTTP_STATUS: Final = {
    Day.REFUSED: (401, "invalid_api_key"),
    Day.BUSY: (429, "too_many_concurrent_requests"),
    Day.BUSY_FOR: (429, "system_busy"),
    Day.BROKEN: (500, "internal_server_error"),
    Day.OUT_OF_QUOTA: (401, "quota_exceeded"),
}


def voice(id: str, name: str, description: str = "") -> dict[str, Any]:
    labels = {"language": "en", "accent": "american"}
    return {"voice_id": id, "name": name, "category": "premade", "description": description, "labels": labels}


class ElevenLabsTts(TtsVendor):
    name = "elevenlabs"
    # A message of the WebSocket does not tell the rate of its audio.
    days = frozenset(Day) - {Day.WRONG_RATE}
    voice = "alice"

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.voices = [voice(f"{n:020}", f"Voice {n}", "like alice") for n in range(TALKS_OF_ALICE)]
        self.voices += [voice(ALICE, "Alice"), voice(GEORGE, "George"), *(voice(id, "Sam") for id in SAMS)]
        self.searches: list[str] = []
        self.sockets: list[Connection] = []
        self.generating_at_once = 100
        """Of the account, over all of its connections."""
        self.kept_alive = 0
        self.dies_at_texts = 0
        """So many texts find that their connection has died unseen."""
        self.queries: list[dict[str, str]] = []
        """Of each handshake."""
        self.let_in = asyncio.Event()
        """While it is not set, handshakes and lists of voices hang."""
        self.let_in.set()
        self._stack = AsyncExitStack()

    @property
    def environment(self) -> Mapping[str, str]:
        return {"ELEVENLABS_API_KEY": KEY, "ELEVENLABS_BASE_URL": self.url}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.get("/v1/text-to-speech/{voice_id}/multi-stream-input", self._socket),
                web.post("/v1/text-to-speech/{voice_id}/stream", self._stream),
                web.get("/v2/voices", self._list),
                web.get("/v1/models", self._models),
            ]
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
        self.let_in.set()
        await self._stack.aclose()

    async def news(self) -> None:
        """Something has changed that a test may wait for."""
        await self._tell()

    def knows(self, voice_id: str) -> bool:
        return any(v["voice_id"] == voice_id for v in self.voices)

    def _refusal(self, status: int, word: str) -> web.Response:
        message = f"{CHATTER} {KEY}"
        headers = {"Retry-After": str(RETRY_AFTER_S)} if self.day is Day.BUSY_FOR else {}
        detail = {"status": word, "message": message}
        return web.json_response({"detail": detail}, status=status, headers=headers)

    def _not_let_in(self, request: web.Request) -> web.Response | None:
        self.connects(request.transport)
        if request.headers.get("xi-api-key") != KEY:
            self.complaints.append("no key in the header")
            return self._refusal(401, "invalid_api_key")
        if self.day in HTTP_STATUS:
            return self._refusal(*HTTP_STATUS[self.day])
        return None

    async def _models(self, request: web.Request) -> web.Response:
        return self._not_let_in(request) or web.json_response([{"model_id": m} for m in MODELS])

    async def _list(self, request: web.Request) -> web.Response:
        if refusal := self._not_let_in(request):
            return refusal
        if unknown := set(request.query) - {"search", "page_size", "next_page_token"}:
            self.complaints.append(f"unknown parameters of a list: {unknown}")
        search = request.query.get("search", "").lower()
        self.searches.append(search)
        await self.let_in.wait()
        found = [v for v in self.voices if search in f"{v['name']} {v['description']}".lower()]
        begin = int(request.query.get("next_page_token", "page-0").removeprefix("page-"))
        end = begin + min(100, int(request.query.get("page_size", 10)))
        more = end < len(found)
        token = f"page-{end}" if more else None
        page = {"voices": found[begin:end], "has_more": more, "total_count": len(found)}
        return web.json_response({**page, "next_page_token": token})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        await self.let_in.wait()
        # The connection is let in without credit: the first text is told of it.
        if self.day is not Day.OUT_OF_QUOTA and (refusal := self._not_let_in(request)):
            return refusal
        if wrong := self._wrong_query(request.query):
            self.complaints.append(wrong)
            return self._refusal(400, "invalid_parameters")
        self.queries.append(dict(request.query))
        ws = web.WebSocketResponse(autoping=True)
        await ws.prepare(request)
        connection = Connection(self, request, ws)
        self.sockets.append(connection)
        await self._tell()
        try:
            await connection.run()
        finally:
            self.sockets.remove(connection)
            await self._tell()
        return ws

    def _wrong_query(self, query: Mapping[str, str]) -> str:
        known = {"model_id", "output_format", "auto_mode", "inactivity_timeout", "language_code"}
        if unknown := set(query) - known:
            return f"unknown parameters: {unknown}"
        if not MODELS.get(query.get("model_id", "")):
            return "a model without WebSockets"
        if query.get("output_format") != "ulaw_8000":
            return "not mu-law"
        if not 1 <= int(query.get("inactivity_timeout", 20)) <= 180:
            return "inactivity_timeout is not in 1..180"
        if "language_code" in query and query["model_id"] not in TAKE_A_LANGUAGE:
            return "the model takes no language"
        return ""

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        voice_id = request.match_info["voice_id"]
        await self.begins(str(body.get("text")), voice=voice_id, connection=request.transport)
        if refusal := self._not_let_in(request):
            return refusal
        if not self.knows(voice_id):
            return self._refusal(404, "voice_not_found")
        if wrong := _wrong_body(request.query, body):
            self.complaints.append(wrong)
            return self._refusal(400, "invalid_parameters")
        return await spoken(self, request, body["text"], {"Content-Type": "audio/basic", "request-id": "r1"})


class ElevenLabsHttpTts(ElevenLabsTts):
    days = frozenset(Day)

    @property
    def environment(self) -> Mapping[str, str]:
        return {**super().environment, "CALLBOT_ELEVENLABS_TTS_TRANSPORT": "http"}


def _wrong_body(query: Mapping[str, str], body: dict[str, Any]) -> str:
    if dict(query) != {"output_format": "ulaw_8000"}:
        return f"unknown parameters, or not mu-law: {dict(query)}"
    if unknown := set(body) - {"text", "model_id", "voice_settings", "language_code"}:
        return f"unknown fields: {unknown}"
    if body.get("model_id") not in MODELS or not set(body.get("voice_settings", {})) <= SETTINGS:
        return "an unknown model or voice setting"
    if "language_code" in body and body["model_id"] not in TAKE_A_LANGUAGE:
        return "the model takes no language"
    return ""
