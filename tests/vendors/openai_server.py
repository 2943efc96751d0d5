"""An OpenAI-compatible server with bad days; what the caller says chooses the day, or a test does.

Follows https://platform.openai.com/docs/api-reference/chat and /docs/guides/error-codes.
"""

import asyncio
import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from aiohttp import web

from tests.vendors.stt_vendor import CHATTER, RETRY_AFTER_S


class Day(StrEnum):
    """`llm down` and so on among the words of a caller choose it, too."""

    GOOD = "good"
    REFUSED = "refuses"
    BUSY = "busy"
    BUSY_FOR = "has no time"
    """429 with `Retry-After`."""
    OUT_OF_QUOTA = "is not paid"
    UNKNOWN_MODEL = "unknown"
    BROKEN = "down"
    SLOW = "slow"
    """It takes the request and never says anything."""
    THINKS = "thinks"
    """The first token after 700 ms."""
    STALLS = "stalls"
    CUT = "cut"
    """The connection is torn in the middle."""
    ENDS_EARLY = "ends early"
    """The response ends as if it were whole, without a finish reason and `[DONE]`."""
    TOLD = "tells trouble"
    """An error inside of the stream."""
    MALFORMED = "babbles"


class Manner(StrEnum):
    """How servers differ that all call themselves compatible."""

    OPENAI = "OpenAI"
    NO_USAGE = "refuses stream_options"
    NO_DONE = "no [DONE], and the response stays open"
    SPLIT = "every byte in a TCP segment of its own"
    LOCAL = "no role, null content, choices missing, thoughts in reasoning_content"
    THINKS_ALOUD = "thoughts as text"


REFUSALS: Final = {
    Day.REFUSED: (401, "invalid_request_error", "invalid_api_key", {}),
    Day.BUSY: (429, "requests", "rate_limit_exceeded", {}),
    Day.BUSY_FOR: (429, "requests", "rate_limit_exceeded", {"Retry-After": str(RETRY_AFTER_S)}),
    Day.OUT_OF_QUOTA: (429, "insufficient_quota", "insufficient_quota", {}),
    Day.UNKNOWN_MODEL: (404, "invalid_request_error", "model_not_found", {}),
    Day.BROKEN: (500, "server_error", None, {}),
}
PARAMETERS: Final = {
    "model", "messages", "stream", "stream_options", "max_completion_tokens", "max_tokens", "temperature",
    "reasoning_effort",
}  # fmt: skip


class LanguageModel:
    """Remembers what it was asked."""

    def __init__(self, key: str = "", *, azure: bool = False) -> None:
        """`key` empty: every one is taken. `azure`: it wants `api-key` and `api-version`."""
        self.day = Day.GOOD
        self.manner = Manner.OPENAI
        self.says = ["I suggest. ", "Now."]
        self.says_before_trouble = ["I suggest. ", "And then"]
        self.shutdown_date: str | None = None
        self.bodies: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.connections: list[object] = []
        self.connection_of_last: object = None
        self.knocked = 0
        """Requests that were not for a reply."""
        self.given_up = 0
        """Replies that the client has not heard to their end."""
        self.first_token_at_s = 0.0
        self._key = key
        self._azure = azure
        self._asked: list[str] = []
        self._news = asyncio.Condition()

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [web.post("/v1/chat/completions", self._complete), web.get("/v1/models", self._models)]
        )
        app.add_routes([web.post("/openai/deployments/{name}/chat/completions", self._complete)])
        app.add_routes([web.get("/openai/models", self._models)])
        return app

    async def thinks_about(self, words: str, within_s: float = 5.0) -> None:
        """Returns as soon as it has been asked about these words of a caller. Raises TimeoutError."""
        await self.until(lambda: any(words in asked for asked in self._asked), within_s)

    async def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(condition)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _connected(self, request: web.Request) -> None:
        transport = request.transport
        self.connection_of_last = transport and transport.get_extra_info("peername")
        if self.connection_of_last not in self.connections:
            self.connections.append(self.connection_of_last)

    async def _models(self, request: web.Request) -> web.Response:
        self._connected(request)
        self.knocked += 1
        await self._tell()
        if (refusal := self._unauthorized(request)) is not None:
            return refusal
        model = {"id": "test", "object": "model", "created": 1, "owned_by": "us"}
        return web.json_response({"data": [model | {"shutdown_date": self.shutdown_date}], "object": "list"})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self._connected(request)
        body = await request.json()
        self.bodies.append(body)
        said = str([m["content"] for m in body["messages"] if m["role"] == "user"][-1]).lower()
        self._asked.append(said)
        await self._tell()
        if (refusal := self._unauthorized(request) or self._wrong(body)) is not None:
            return refusal
        day = next((day for day in Day if f"llm {day}" in said), self.day)
        if day in REFUSALS:
            status, kind, code, headers = REFUSALS[day]
            return self._error(request, status, kind, code, headers)
        return await self._answer(request, body, day)

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        if not self._key:
            return None
        shown = request.headers.get("api-key" if self._azure else "Authorization", "")
        wanted = self._key if self._azure else f"Bearer {self._key}"
        version = not self._azure or "api-version" in request.query
        other = "Authorization" if self._azure else "api-key"
        if shown != wanted or not version or other in request.headers:
            self.complaints.append("credentials")
            return self._error(request, 401, "invalid_request_error", "invalid_api_key", {})
        return None

    def _wrong(self, body: dict[str, Any]) -> web.Response | None:
        """As OpenAI: what it does not know it refuses."""
        wrong = sorted(body.keys() - PARAMETERS)
        if self.manner is Manner.NO_USAGE and "stream_options" in body:
            wrong.append("stream_options")
        roles = [message["role"] for message in body["messages"]]
        if body.get("stream") is not True or roles[0] != "system" or roles[-1] != "user":
            wrong.append("messages")
        if not wrong:
            return None
        if wrong != ["stream_options"]:
            self.complaints.append(f"parameters: {wrong}")
        told = {"message": f"Unrecognized: {CHATTER}", "type": "invalid_request_error", "code": None}
        return web.json_response({"error": told | {"param": wrong[0]}}, status=400)

    def _error(
        self, request: web.Request, status: int, kind: str, code: str | None, headers: dict[str, str]
    ) -> web.Response:
        shown = request.headers.get("Authorization", request.headers.get("api-key", ""))
        error = {"message": f"{CHATTER}: {shown}", "type": kind, "param": None, "code": code}
        return web.json_response({"error": error}, status=status, headers=headers)

    async def _answer(self, request: web.Request, body: dict[str, Any], day: Day) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            if day is Day.SLOW:
                await asyncio.sleep(30)
            if day is Day.THINKS:
                await asyncio.sleep(0.7)
            good = day in (Day.GOOD, Day.THINKS)
            for at, event in enumerate(self._events(body, self.says if good else self.says_before_trouble)):
                if at == 1:
                    self.first_token_at_s = asyncio.get_running_loop().time()
                await self._write(response, event)
            if good:
                await self._end(response, body)
            else:
                await self._trouble(request, response, day)
        except (asyncio.CancelledError, ConnectionError):
            # A reader that gives up closes the connection.
            self.given_up += 1
            await self._tell()
        return response

    async def _trouble(self, request: web.Request, response: web.StreamResponse, day: Day) -> None:
        if day is Day.STALLS:
            await asyncio.sleep(30)
        elif day is Day.TOLD:
            error = {"message": CHATTER, "type": "server_error", "code": "overloaded"}
            await response.write(_event({"error": error}))
        elif day is Day.MALFORMED:
            await response.write(f'data: {{"choices": [{{"index": 0, {CHATTER}\n\n'.encode())
        elif day is Day.CUT:
            assert request.transport is not None
            # What was written goes out first.
            await asyncio.sleep(0.05)
            request.transport.abort()

    async def _end(self, response: web.StreamResponse, body: dict[str, Any]) -> None:
        await self._write(response, _chunk({}, "stop"))
        if body.get("stream_options", {}).get("include_usage"):
            usage = {"prompt_tokens": 42, "completion_tokens": len(self.says), "total_tokens": 0}
            await self._write(response, _event({"choices": [], "usage": usage}))
        if self.manner is Manner.NO_DONE:
            await asyncio.sleep(30)
        await self._write(response, b"data: [DONE]\n\n")

    async def _write(self, response: web.StreamResponse, event: bytes) -> None:
        step = 1 if self.manner is Manner.SPLIT else len(event)
        for at in range(0, len(event), step):
            await response.write(event[at : at + step])
            if step == 1:
                await asyncio.sleep(0)

    def _events(self, body: dict[str, Any], says: list[str]) -> list[bytes]:
        pieces = [_chunk({"content": piece}) for piece in says]
        if self.manner is Manner.LOCAL:
            thoughts = [_chunk({"reasoning_content": "The caller wants… ", "content": None}), _event({})]
            return [*thoughts, _event({"choices": None}), *pieces]
        if self.manner is Manner.THINKS_ALOUD:
            pieces = [
                _chunk({"content": text}) for text in ("<th", "ink>Well. ", "</thi", "nk>\n\n")
            ] + pieces
        # `obfuscation` is padding, on by default at OpenAI.
        return [_chunk({"role": "assistant", "content": ""}, obfuscation="x7"), *pieces]


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: str) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return _event({"choices": [choice], **more})


def _event(fields: dict[str, Any]) -> bytes:
    whole = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "test", **fields}
    return b"data: " + json.dumps(whole, ensure_ascii=False).encode() + b"\n\n"
