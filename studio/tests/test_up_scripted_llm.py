"""The scripted language model, asked over HTTP as a service would."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from callbot.studio.up.scripted_llm import Pace, scripted_llm

ASKED = {
    "model": "m",
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a table"}],
}


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    runner = web.AppRunner(scripted_llm(Pace(tokens_per_s=500)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_whole_answer(base_url: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base_url}/v1/chat/completions", json=ASKED) as response,
    ):
        message = (await response.json())["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "You said: a table"}


async def test_a_streamed_answer_is_the_same(base_url: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base_url}/v1/chat/completions", json={**ASKED, "stream": True}) as response,
    ):
        lines = [line async for line in response.content if line.strip()]
    assert lines[-1].strip() == b"data: [DONE]"
    deltas = [json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"] for line in lines[:-1]]
    assert "".join(delta.get("content", "") for delta in deltas) == "You said: a table"
    assert len(deltas) > 3
