"""`POST /v1/audio/transcriptions` as OpenAI has it, with bad days.

From https://platform.openai.com/docs/api-reference/audio/createTranscription and the types of openai 3.52.
"""

import asyncio
import json
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from aiohttp import BodyPartReader, web

from callbot.schemas.text_audio import texts_in
from callbot.stt_worker import mulaw
from tests.vendors.stt_vendor import CHATTER, KEY, RETRY_AFTER_S, Day

KNOWN: Final = {
    "file", "model", "language", "prompt", "keywords[]", "languages[]", "response_format", "temperature",
}  # fmt: skip
ERRORS: Final = {
    Day.REFUSED: (401, "invalid_api_key"),
    Day.BUSY: (429, "rate_limit_exceeded"),
    Day.BUSY_FOR: (429, "rate_limit_exceeded"),
    Day.BROKEN: (500, "server_error"),
    Day.OUT_OF_QUOTA: (429, "insufficient_quota"),
    Day.WRONG_RATE: (400, "invalid_value"),
}
MADE_UP: Final = "Thank you for watching!"
"""What Whisper says to silence."""


class OpenAITranscription:
    """Understands `texts_in` of the file; what is not there becomes what Whisper says to silence."""

    def __init__(self, *, model: str = "gpt-transcribe", takes_mulaw: bool = True) -> None:
        self.day = Day.GOOD
        self.complaints: list[str] = []
        self.begun = 0
        self.open_connections = 0
        self.asked: list[dict[str, list[str]]] = []
        """The fields of each request, without the file; `file` is the format tag of the file."""
        self.scores = (-0.2, 0.01)
        """Of a segment in `verbose_json`: mean log probability, probability that there is no speech."""
        self.connections: list[object] = []
        """The transports, in the order in which they were seen."""
        self.forgets_kept = False
        """A connection that was used before is torn as soon as something more comes."""
        self._model = model
        self._takes_mulaw = takes_mulaw
        self._port = 0

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self._port}/v1",
            "CALLBOT_OPENAI_STT_MODEL": self._model,
        }

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 24)
        app.add_routes(
            [
                web.post("/v1/audio/transcriptions", self._on_request),
                web.get("/v1/models", self._on_models),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def turns(self, day: Day) -> None:
        """Every request has the day of its moment."""
        self.day = day

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def restart(self) -> None:
        """At the same address; what was connected no longer is."""
        await self.stop()
        await self.__aenter__()

    async def _on_models(self, request: web.Request) -> web.Response:
        self._see(request)
        return web.json_response({"object": "list", "data": []})

    def _see(self, request: web.Request) -> None:
        if request.transport not in self.connections:
            self.connections.append(request.transport)

    async def _on_request(self, request: web.Request) -> web.StreamResponse:
        self.begun += 1
        transport = request.transport
        if self.forgets_kept and transport is not None and transport in self.connections:
            transport.abort()
            return web.Response()
        self._see(request)
        self.open_connections += 1
        try:
            return await self._answer(request, self.day)
        finally:
            self.open_connections -= 1

    async def _answer(self, request: web.Request, day: Day) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "")
        if shown != f"Bearer {KEY}":
            return _error(401, "invalid_api_key", shown)
        fields, audio = await self._read(request)
        if day in ERRORS:
            status, code = ERRORS[day]
            return _error(status, code, shown, RETRY_AFTER_S if day is Day.BUSY_FOR else None)
        if audio is None:
            return _error(400, "invalid_value", shown)
        match day:
            case Day.STALLS:
                await asyncio.Event().wait()
            case Day.SLOW:
                await asyncio.sleep(1)
            case Day.CUT:
                return await _cut(request)
            case Day.MALFORMED:
                return web.json_response({"txt": CHATTER})
        text = " ".join(texts_in(audio)) or MADE_UP
        return web.json_response(self._transcription(text, fields, len(audio) / 8000))

    def _transcription(self, text: str, fields: Mapping[str, list[str]], seconds: float) -> dict[str, Any]:
        if fields["response_format"] != ["verbose_json"]:
            return {"text": text, "usage": {"type": "duration", "seconds": seconds}}
        score, no_speech = self.scores
        segment = {
            "id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": f" {text}", "tokens": [50364],
            "temperature": 0.0, "avg_logprob": score, "compression_ratio": 0.9, "no_speech_prob": no_speech,
        }  # fmt: skip
        return {
            "task": "transcribe", "language": "english", "duration": seconds, "text": text,
            "segments": [segment],
        }  # fmt: skip

    async def _read(self, request: web.Request) -> tuple[dict[str, list[str]], bytes | None]:
        """The fields; the audio as mu-law, None where it cannot be read."""
        fields: dict[str, list[str]] = {}
        audio: bytes | None = None
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name not in KNOWN:
                self.complaints.append("a part that is not known")
            elif part.name == "file":
                if not (part.filename or "").endswith(".wav"):
                    self.complaints.append("a file without an extension")
                tag, audio = mulaw_of(await part.read())
                fields["file"] = [str(tag)]
                audio = audio if tag != 7 or self._takes_mulaw else None
            else:
                fields.setdefault(part.name, []).append((await part.read()).decode())
        self.asked.append(fields)
        self._check(fields)
        return fields, audio

    def _check(self, fields: Mapping[str, list[str]]) -> None:
        if fields.get("model") != [self._model]:
            self.complaints.append("another model")
        if not all(len(tag) == 2 for tag in fields.get("language", [])):
            self.complaints.append("a language that is not ISO 639-1")
        if "keywords[]" in fields and self._model != "gpt-transcribe":
            self.complaints.append("keywords are for gpt-transcribe only")
        if self._model.startswith("gpt-") and fields.get("response_format", ["json"]) != ["json"]:
            self.complaints.append("this model has only json")


class Whisper(OpenAITranscription):
    """A server of Whisper: it tells how sure it is."""

    def __init__(self) -> None:
        super().__init__(model="whisper-large-v3-turbo")


class PcmOnly(OpenAITranscription):
    """A server that reads no other WAV."""

    def __init__(self) -> None:
        super().__init__(model="whisper-large-v3-turbo", takes_mulaw=False)


def mulaw_of(wav: bytes) -> tuple[int, bytes | None]:
    """Format tag, mu-law. Strict: sizes, rate and chunks must be what the header says."""
    riff, size, wave = struct.unpack_from("<4sI4s", wav)
    if (riff, size, wave) != (b"RIFF", len(wav) - 8, b"WAVE"):
        return 0, None
    chunks, at = {}, 12
    while at < len(wav):
        name, length = struct.unpack_from("<4sI", wav, at)
        chunks[name] = wav[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    tag, channels, rate, bytes_per_s, block, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    if (channels, rate, bytes_per_s, block) != (1, 8000, 8000 * bits // 8, bits // 8):
        return tag, None
    data = chunks[b"data"]
    if tag == 7:
        counted = struct.unpack("<I", chunks[b"fact"])[0] == len(data) and len(chunks[b"fmt "]) == 18
        return tag, data if bits == 8 and counted else None
    return tag, _encoded(data) if (tag, bits) == (1, 16) else None


def _encoded(pcm: bytes) -> bytes:
    """The mu-law whose value it is; None of ours lies between two."""
    values = np.rint(mulaw.decode(bytes(range(256))) * 32768).astype(np.int32)
    of = {int(value): byte for byte, value in reversed(list(enumerate(values)))}
    of[0] = 0xFF
    return bytes(of[int(sample)] for sample in np.frombuffer(pcm, "<i2"))


def _error(status: int, code: str, shown: str, retry_after_s: int | None = None) -> web.Response:
    error = {"message": f"{CHATTER}: {shown}", "type": "invalid_request_error", "param": None, "code": code}
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return web.json_response({"error": error}, status=status, headers=headers)


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = 1000
    await response.prepare(request)
    await response.write(json.dumps({"text": CHATTER})[:8].encode())
    assert request.transport
    request.transport.abort()
    return response
