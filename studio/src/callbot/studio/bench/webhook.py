"""The webhook of a measured bot: answers after a set time with the next of a few sentences."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

ANSWERS = (
    "Thank you, I have written that down.",
    "Good. What time would suit you best?",
    "We have a free table then. May I have your name?",
    "Of course, that is no problem at all.",
)


@asynccontextmanager
async def answering_webhook(after_ms: float, *, echo: bool = False) -> AsyncIterator[str]:
    """Yields its URL. `echo`: answers with the caller's own words."""
    answers = itertools.cycle(ANSWERS)

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(after_ms / 1000)
        return web.json_response({"say": f"I heard {body['user_text']}" if echo else next(answers)})

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
