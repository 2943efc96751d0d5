"""OpenAI's /v1/audio/speech (https://platform.openai.com/docs/api-reference/audio/createSpeech)."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from aiohttp import web

from tests.vendors.speech_tones import spoken_pcm
from tests.vendors.tts_vendor import CHATTER, KEY, RETRY_AFTER_S, Day, TtsVendor

RATE_HZ: Final = 24000
VOICES: Final = {"alloy", "nova", "marin"}
PARAMETERS: Final = {"model", "input", "voice", "instructions", "response_format", "speed", "stream_format"}
PIECES: Final = (4801, 333, 7777, 1, 12_000)
"""In turn: a chunk may end in the middle of a sample."""
REFUSALS: Final[dict[Day, tuple[int, str, str | None, dict[str, str]]]] = {
    Day.REFUSED: (401, "invalid_request_error", "invalid_api_key", {}),
    Day.BUSY: (429, "requests", "rate_limit_exceeded", {}),
    Day.BUSY_FOR: (429, "requests", "rate_limit_exceeded", {"Retry-After": str(RETRY_AFTER_S)}),
    Day.OUT_OF_QUOTA: (429, "insufficient_quota", "insufficient_quota", {}),
    Day.BROKEN: (500, "server_error", None, {}),
}


class OpenAITts(TtsVendor):
    name: ClassVar[str] = "openai"
    voice: ClassVar[str] = "nova"

    def __init__(self) -> None:
        super().__init__()
        self.content_type = "audio/pcm"
        self.rate_hz = RATE_HZ
        self.bodies: list[dict[str, Any]] = []
        self.dies_when_asked = 0
        """So many connections turn out to be dead."""
        self._url = ""
        self._runner: web.AppRunner | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "OPENAI_API_KEY": KEY,
            "CALLBOT_OPENAI_TTS_BASE_URL": f"{self._url}/v1",
            "CALLBOT_OPENAI_TTS_MODEL": "speaks",
        }

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.post("/v1/audio/speech", self._speak), web.get("/v1/models", self._models)])
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

    async def _models(self, request: web.Request) -> web.Response:
        self.connects(request.transport)
        await self._tell()
        if self.day in REFUSALS:
            return self._refused(request, *REFUSALS[self.day])
        return web.json_response({"object": "list", "data": []})

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        self.connects(request.transport)
        body = await request.json()
        if self.dies_when_asked:
            self.dies_when_asked -= 1
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        self.bodies.append(body)
        text = str(body.get("input", ""))
        await self.begins(text, voice=str(body.get("voice")), connection=request.transport)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            self.complaints.append("Authorization")
            return self._refused(request, *REFUSALS[Day.REFUSED])
        if self.day in REFUSALS:
            return self._refused(request, *REFUSALS[self.day])
        if wrong := self._wrong(body):
            return self._refused(request, 400, "invalid_request_error", None, {}, param=wrong)
        return await self._answer(request, text)

    def _wrong(self, body: dict[str, Any]) -> str:
        voice = body.get("voice")
        own = isinstance(voice, dict) and voice.keys() == {"id"}
        if not own and str(voice) not in VOICES:
            return "voice"
        wrong = sorted(body.keys() - PARAMETERS)
        if body.get("model") != "speaks":
            wrong.append("model")
        if body.get("response_format") != "pcm":
            wrong.append("response_format")
        if not 0 < len(str(body.get("input", ""))) <= 4096:
            wrong.append("input")
        self.complaints += wrong
        return wrong[0] if wrong else ""

    def _refused(
        self,
        request: web.Request,
        status: int,
        kind: str,
        code: str | None,
        headers: dict[str, str],
        param: str | None = None,
    ) -> web.Response:
        message = f"{CHATTER}: {request.headers.get('Authorization')}"
        error = {"message": message, "type": kind, "param": param, "code": code}
        return web.json_response({"error": error}, status=status, headers=headers)

    async def _answer(self, request: web.Request, text: str) -> web.StreamResponse:
        day = self.day
        if day is Day.MALFORMED:
            return web.Response(text=f"<html>{CHATTER}</html>", content_type="text/html")
        if day is Day.WRONG_RATE:
            return web.Response(body=b"ID3\x04" + bytes(4000), content_type="audio/mpeg")
        response = web.StreamResponse(headers={"Content-Type": self.content_type})
        try:
            if day is Day.SLOW:
                await asyncio.sleep(30)
            await response.prepare(request)
            pcm = spoken_pcm(text, self.rate_hz)
            if day in (Day.STALLS, Day.CUT):
                pcm = pcm[: len(pcm) // 2]
            self.gives_audio()
            at = number = 0
            while at < len(pcm):
                size = PIECES[number % len(PIECES)]
                await response.write(pcm[at : at + size])
                at, number = at + size, number + 1
                # Else small pieces leave together.
                await asyncio.sleep(0)
            if day is Day.STALLS:
                await asyncio.sleep(30)
            if day is Day.CUT:
                assert request.transport is not None
                # What was written goes out first.
                await asyncio.sleep(0.05)
                request.transport.abort()
        except (asyncio.CancelledError, ConnectionError):
            await self.gives_up()
        return response
