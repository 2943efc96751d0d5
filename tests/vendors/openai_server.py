"""An OpenAI-compatible server with bad days; what the caller says chooses the day."""

import asyncio
import contextlib
import json
from typing import Any

from aiohttp import web

DAYS = ("llm down", "llm slow", "llm stalls", "llm thinks")
"""Words in the caller's text. `thinks`: the first token after 700 ms."""


class LanguageModel:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self._asked: list[str] = []
        self._asked_more = asyncio.Condition()

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.post("/v1/chat/completions", self._complete)])
        return app

    async def thinks_about(self, words: str, within_s: float = 5.0) -> None:
        """Returns as soon as it has been asked about these words of a caller. Raises TimeoutError."""
        async with asyncio.timeout(within_s), self._asked_more:
            await self._asked_more.wait_for(lambda: any(words in asked for asked in self._asked))

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        said = str([m["content"] for m in body["messages"] if m["role"] == "user"][-1]).lower()
        async with self._asked_more:
            self._asked.append(said)
            self._asked_more.notify_all()
        return await _answer(request, said)


async def _answer(request: web.Request, said: str) -> web.StreamResponse:
    if "llm down" in said:
        return web.json_response({"error": {"message": "overloaded", "type": "server_error"}}, status=500)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    if "llm slow" in said:
        await asyncio.sleep(30)
    if "llm thinks" in said:
        await asyncio.sleep(0.7)
    with contextlib.suppress(ConnectionError):
        await _write(response, said)
    return response


async def _write(response: web.StreamResponse, said: str) -> None:
    """A reader that gives up closes the connection."""
    await response.write(_chunk("I suggest. "))
    if "llm stalls" in said:
        await response.write(_chunk("And then"))
        await asyncio.sleep(30)
    await response.write(_chunk("Now."))
    await response.write(_chunk(None, "stop"))
    await response.write(b"data: [DONE]\n\n")


def _chunk(content: str | None, finish: str | None = None) -> bytes:
    delta: dict[str, Any] = {} if content is None else {"role": "assistant", "content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return (
        b"data: "
        + json.dumps({"id": "1", "object": "chat.completion.chunk", "choices": [choice]}).encode()
        + b"\n\n"
    )
