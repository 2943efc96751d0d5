"""The webhook of a measured bot: answers after a set time with the next of a few sentences."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiohttp
from aiohttp import web

ANSWERS = (
    "Thank you, I have written that down.",
    "Good. What time would suit you best?",
    "We have a free table then. May I have your name?",
    "Of course, that is no problem at all.",
)
LONG_ANSWER = (
    "We open every day at eleven in the morning and close at ten in the evening. "
    "On Fridays and on Saturdays the kitchen works until midnight, and there is live music in the garden. "
    "Our lunch has three courses, and you may choose between fish, meat and a vegetarian dish. "
    "Children under six years eat for free when they come with their parents. "
    "If you drive, please use the parking garage around the corner, where the first two hours cost nothing. "
    "Dogs are welcome in the garden, and there is always fresh water for them."
)
"""About half a minute: time to speak over it."""
SIX_SECONDS = (
    "Thank you, a table for four people at seven is free tonight, and I have written it down for you. "
    "Is there anything else that we can do for you?"
)
"""About so long, at 40 ms a character."""
Says = Literal["own", "echo", "suggestion", "long", "six seconds"]
"""A sentence of its own; the caller's words; the suggestion as it is; an answer of some length."""


@asynccontextmanager
async def answering_webhook(after_ms: float, says: Says = "own") -> AsyncIterator[str]:
    """Yields its URL."""
    own = itertools.cycle(ANSWERS)

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(after_ms / 1000)
        match says:
            case "echo":
                say = f"I heard {body['user_text']}"
            case "suggestion":
                say = body["llm_suggestion"] or next(own)
            case "long":
                say = LONG_ANSWER
            case "six seconds":
                say = SIX_SECONDS
            case "own":
                say = next(own)
        return web.json_response({"say": say})

    app = web.Application()
    app.router.add_post("/bot", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/bot"
    finally:
        await runner.cleanup()


async def create_bot(http: aiohttp.ClientSession, url: str, **fields: Any) -> str:
    """The new bot's id. Raises aiohttp.ClientError."""
    async with http.post(f"{url}/v1/bots", json=fields) as answer:
        answer.raise_for_status()
        return str((await answer.json())["id"])
