"""Deepgram's /v1/speak (https://developers.deepgram.com/reference/text-to-speech/speak-streaming)."""

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Final, Self

from aiohttp import WSMsgType, web

from tests.vendors.speech_tones import spoken_mulaw
from tests.vendors.tts_vendor import CHATTER, KEY, RETRY_AFTER_S, Day, TtsVendor

MODELS: Final = {"aura-2-thalia-en": "en-US", "aura-2-apollo-en": "en-US", "aura-2-celeste-es": "es-ES"}
FLUSHES_A_MINUTE: Final = 20
MAX_CHARACTERS: Final = 2000
PIECES: Final = (799, 1, 1600, 333)
REFUSALS: Final[dict[Day, tuple[int, str, dict[str, str]]]] = {
    Day.REFUSED: (401, "INVALID_AUTH", {}),
    Day.BUSY: (429, "TOO_MANY_REQUESTS", {}),
    Day.BUSY_FOR: (429, "TOO_MANY_REQUESTS", {"Retry-After": str(RETRY_AFTER_S)}),
    Day.OUT_OF_QUOTA: (402, "ASR_PAYMENT_REQUIRED", {}),
    Day.BROKEN: (500, "INTERNAL_SERVER_ERROR", {}),
}


@dataclass
class _Connection:
    ws: web.WebSocketResponse
    request: web.Request
    model: str
    text: str = ""
    owes: bool = False
    """A text was asked for and not all of it was given."""
    flushes: deque[float] = field(default_factory=deque)


class DeepgramTts(TtsVendor):
    name: ClassVar[str] = "deepgram"
    voice: ClassVar[str] = "aura-2-apollo-en"
    # Nothing in the protocol says what the audio is: WRONG_RATE cannot be seen.
    days: ClassVar[frozenset[Day]] = frozenset(Day) - {Day.WRONG_RATE}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[web.WebSocketResponse] = []
        self.closes_with = 0
        """With this code instead of an answer."""
        self._url = ""
        self._runner: web.AppRunner | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        return {"DEEPGRAM_API_KEY": KEY, "DEEPGRAM_BASE_URL": self._url}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.get("/v1/speak", self._speak), web.get("/v1/models", self._models)])
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        self._runner = runner
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def close_all(self) -> None:
        """As after too long without a text."""
        for ws in list(self.open):
            await ws.close(code=1011, message=b"NET-0000")

    async def _models(self, request: web.Request) -> web.Response:
        if (refusal := self._unauthorized(request)) is not None:
            return refusal
        listed = [
            {"name": name.split("-")[2], "canonical_name": name, "languages": [language, language[:2]]}
            for name, language in MODELS.items()
        ]
        return web.json_response({"stt": [], "tts": listed})

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        if self.day in REFUSALS:
            return self._refused(request, *REFUSALS[self.day])
        if request.headers.get("Authorization") != f"Token {KEY}":
            self.complaints.append("Authorization")
            return self._refused(request, *REFUSALS[Day.REFUSED])
        return None

    def _refused(
        self, request: web.Request, status: int, code: str, headers: dict[str, str], about: str = ""
    ) -> web.Response:
        told = f"{about} {CHATTER} {request.headers.get('Authorization')}".strip()
        body = {"err_code": code, "err_msg": told, "request_id": "r"}
        return web.json_response(body, status=status, headers={**headers, "dg-error": told})

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._unauthorized(request)) is not None:
            return refusal
        asked = dict(request.query)
        model = asked.pop("model", "aura-asteria-en")
        if asked != {"encoding": "mulaw", "sample_rate": "8000"}:
            self.complaints.append(f"parameters: {sorted(asked)}")
            return self._refused(request, 400, "INVALID_QUERY_PARAMETER", {})
        if model not in MODELS:
            about = "Bad Request: No such model/version combination found."
            return self._refused(request, 400, "Bad Request", {}, about)
        self.connects(request.transport)
        await self._tell()
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.open.append(ws)
        connection = _Connection(ws, request, model)
        try:
            await ws.send_json({"type": "Metadata", "request_id": "r", "model_name": model})
            await self._converse(connection)
        finally:
            self.open.remove(ws)
            if connection.owes:
                connection.owes = False
                await self.gives_up()
        return ws

    async def _converse(self, connection: _Connection) -> None:
        async for message in connection.ws:
            if message.type is not WSMsgType.TEXT:
                await self._wrong(connection, "a message that is no text")
                return
            asked = json.loads(message.data)
            match asked.get("type"):
                case "Speak" if 0 < len(asked.get("text", "")) <= MAX_CHARACTERS:
                    connection.text += asked["text"]
                case "Flush":
                    await self._flush(connection)
                case "Clear":
                    if connection.owes:
                        connection.owes = False
                        await self.gives_up()
                    connection.text = ""
                    await connection.ws.send_json({"type": "Cleared", "sequence_id": 0})
                case "Close":
                    await connection.ws.close()
                    return
                case other:
                    await self._wrong(connection, f"message {other}")
                    return

    async def _wrong(self, connection: _Connection, what: str) -> None:
        self.complaints.append(what)
        await connection.ws.close(code=1008, message=b"DATA-0000")

    async def _flush(self, connection: _Connection) -> None:
        now = time.monotonic()
        while connection.flushes and now - connection.flushes[0] > 60:
            connection.flushes.popleft()
        connection.flushes.append(now)
        if len(connection.flushes) > FLUSHES_A_MINUTE:
            self.complaints.append("more than 20 flushes in 60 s")
            warning = {"type": "Warning", "code": "EXCEEDED_FLUSH_LIMIT", "description": CHATTER}
            await connection.ws.send_json(warning)
            return
        if self.day in REFUSALS:
            # It has forgotten its connections, and refuses new ones.
            self._tear(connection)
            return
        text, connection.text = connection.text, ""
        if not text:
            await self._wrong(connection, "Flush without Speak")
            return
        await self.begins(text, voice=connection.model, connection=connection.request.transport)
        if self.closes_with:
            await connection.ws.close(code=self.closes_with)
            return
        await self._say(connection, spoken_mulaw(text))

    async def _say(self, connection: _Connection, audio: bytes) -> None:
        ws, day = connection.ws, self.day
        connection.owes = True
        if day is Day.SLOW:
            return
        if day is Day.MALFORMED:
            connection.owes = False
            await ws.send_str(f'{{"type": {CHATTER}')
            return
        if day in (Day.STALLS, Day.CUT):
            audio = audio[: len(audio) // 2]
        self.gives_audio()
        at = number = 0
        while at < len(audio):
            size = PIECES[number % len(PIECES)]
            await ws.send_bytes(audio[at : at + size])
            at, number = at + size, number + 1
        if day is Day.STALLS:
            return
        connection.owes = False
        if day is Day.CUT:
            # Closing first sends what was written, and then nothing of the protocol.
            assert connection.request.transport is not None
            connection.request.transport.close()
            return
        await ws.send_json({"type": "Flushed", "sequence_id": 0})

    def _tear(self, connection: _Connection) -> None:
        assert connection.request.transport is not None
        connection.request.transport.abort()
