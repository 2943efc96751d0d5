"""A language model that always says the same: OpenAI-compatible, for tests and benches without a model.

`POST /v1/chat/completions` answers "You said: …" with the words of the last user message, or sentences of a
set number of words, streamed word by word or whole: a word counts as a token. The delays come from the flags,
or for a whole platform from the environment.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from itertools import cycle, islice
from typing import Any

from aiohttp import web
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

SENTENCES = (
    "Of course, I have noted that. What time would suit you best? We have a table near the window at seven, "
    "a quiet one in the garden at eight, and two at the bar where you can also eat much later on."
)


class Pace(BaseSettings):
    """How quick the answers come."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="CALLBOT_SCRIPTED_LLM_", extra="ignore")

    first_token_ms: float = Field(0, ge=0)
    tokens_per_s: float = Field(0, ge=0)
    """0: all at once."""
    tokens: int = Field(0, ge=0)
    """Of each answer. 0: the user's own words."""


def answer_to(body: dict[str, Any], tokens: int = 0) -> str:
    """What the model says to a chat completion request."""
    if tokens:
        return " ".join(islice(cycle(SENTENCES.split()), tokens)).rstrip(",.?") + "."
    said = [m.get("content") for m in body.get("messages", []) if m.get("role") == "user"]
    return f"You said: {said[-1]}" if said else "Nobody has said anything."


def scripted_llm(pace: Pace) -> web.Application:
    async def complete(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        tokens = _tokens(answer_to(body, pace.tokens))
        if not body.get("stream"):
            async for _ in _paced(tokens, pace):
                pass
            return web.json_response(_completion(body, "".join(tokens)))
        return await _stream(request, body, _paced(tokens, pace))

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    async def is_healthy(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.add_routes(
        [
            web.post("/v1/chat/completions", complete),
            web.get("/v1/models", models),
            web.get("/health", is_healthy),
        ]
    )
    return app


def _tokens(text: str) -> list[str]:
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


async def _paced(tokens: list[str], pace: Pace) -> AsyncIterator[str]:
    """By a clock that does not drift, as slow sleeping would make the model slower than asked."""
    due = time.monotonic() + pace.first_token_ms / 1000
    for token in tokens:
        await asyncio.sleep(due - time.monotonic())
        yield token
        due += 1 / pace.tokens_per_s if pace.tokens_per_s else 0


async def _stream(
    request: web.Request, body: dict[str, Any], tokens: AsyncIterator[str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    # A reader that has changed its mind closes the connection.
    with contextlib.suppress(ConnectionError):
        async for token in tokens:
            await response.write(_event(_chunk(body, {"role": "assistant", "content": token}, None)))
        await response.write(_event(_chunk(body, {}, "stop")))
        await response.write(b"data: [DONE]\n\n")
    return response


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _chunk(body: dict[str, Any], delta: dict[str, str], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**_envelope(body), "object": "chat.completion.chunk", "choices": [choice]}


def _completion(body: dict[str, Any], text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**_envelope(body), "object": "chat.completion", "choices": [choice]}


def _envelope(body: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "created": int(time.time()), "model": body.get("model", "scripted")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first-token-ms", type=float)
    parser.add_argument("--tokens-per-s", type=float)
    parser.add_argument("--tokens", type=int)
    wanted = {k: v for k, v in vars(parser.parse_args()).items() if v is not None}
    port = wanted.pop("port")
    app = scripted_llm(Pace(**wanted))
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, shutdown_timeout=0.2)


if __name__ == "__main__":
    main()
