"""What a call has used of its providers, and what that costs, in its record: a whole platform with prices."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callbot.studio.emulator import Emulator
from callbot.studio.up.running import WITHOUT_LIMITS, Platform, running_platform
from tests.conftest import MS_PER_CHARACTER, serve
from tests.vendors.customer import Customer
from tests.vendors.openai_server import LanguageModel

GREETING = "Hello! How can I help you?"
WORDS = "A table for four"
ANSWER = f"I heard {WORDS}"
THOUGHT_AHEAD = "I suggest."
"""The first sentence of the suggestion: it is synthesised before the webhook says something else."""
PROMPT_TOKENS = 42
PRICES = """
currency = "EUR"

[[price]]
role = "stt"
provider = "scripted"
per_minute = 60

[[price]]
role = "llm"
provider = "openai"
model = "test"
per_million_tokens_in = 1_000_000
per_million_tokens_out = 0

[[price]]
role = "tts"
provider = "scripted"
per_million_characters = 1_000_000
"""
"""One for a second, one for a token of a prompt, one for a character."""


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("prices") / "prices.toml"
    file.write_text(PRICES)
    return file


@pytest.fixture(scope="module")
async def priced(
    servers: AsyncExitStack, language_model: LanguageModel, prices: Path
) -> AsyncIterator[Platform]:
    env = {
        **WITHOUT_LIMITS,
        "OPENAI_BASE_URL": f"{await serve(servers, language_model.app())}/v1",
        "OPENAI_API_KEY": "unused",
        "OPENAI_MODEL": "test",
        "CALLBOT_LLM_WARM": "0",
        "CALLBOT_PRICES": str(prices),
        "CALLBOT_SCRIPTED_MS_PER_CHARACTER": str(MS_PER_CHARACTER),
    }
    async with running_platform("--scripted", env=env) as running:
        yield running


@pytest.fixture
async def api(priced: Platform) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(priced.url, timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture
async def emulator(priced: Platform) -> AsyncIterator[Emulator]:
    async with Emulator(priced.url, account=priced.twilio.accounts.platform) as emulator:
        yield emulator


@pytest.fixture
async def bot_id(api: aiohttp.ClientSession, customer: Customer, name: str) -> str:
    bot = {"goal": "Test", "greeting": GREETING, "webhook": customer.webhook("echo", name)}
    async with api.post("/v1/bots", json=bot) as answer:
        return str((await answer.json())["id"])


async def shown(api: aiohttp.ClientSession, call_id: str) -> dict[str, Any]:
    async with api.get(f"/v1/calls/{call_id}") as answer:
        assert answer.status == 200
        return dict(await answer.json())


async def counted(api: aiohttp.ClientSession, call_id: str) -> dict[str, Any]:
    """Its record, once all of its seats have told their last."""
    async with asyncio.timeout(10):
        while not (call := await shown(api, call_id))["cost"]["complete"]:
            await asyncio.sleep(0.05)
    return call


async def used_by(platform: Platform, service: str) -> list[dict[str, Any]]:
    """Since the start of its process."""
    port = next(row["port"] for row in await platform.ps() if row["service"] == service)
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/status") as answer:
        return list((await answer.json())["used"])


async def test_a_calls_record_shows_what_each_role_has_used_and_what_it_costs(
    priced: Platform, api: aiohttp.ClientSession, emulator: Emulator, bot_id: str
) -> None:
    async with emulator.dial(bot_id=bot_id) as call:
        await call.hears(GREETING)
        await call.says(WORDS)
        await call.hears(ANSWER)
        assert not (await shown(api, call.sid))["cost"]["complete"], "the call goes on"
    record = await counted(api, call.sid)
    assert [(one["role"], one["provider"], one["model"]) for one in record["usage"]] == [
        ("llm", "openai", "test"),
        ("stt", "scripted", ""),
        ("tts", "scripted", ""),
    ]
    llm, stt, tts = record["usage"]
    assert llm["tokens_in"] >= PROMPT_TOKENS and llm["tokens_out"] > 0
    assert llm["estimated"] or llm["tokens_in"] % PROMPT_TOKENS == 0
    assert len(WORDS) * MS_PER_CHARACTER / 1000 / 2 < stt["seconds"] < 60
    spoken = len(ANSWER) + len(THOUGHT_AHEAD)
    # The greeting comes from the phrases, unless they were not there yet.
    assert tts["characters"] in (spoken, spoken + len(GREETING))
    assert [llm["cost"], stt["cost"], tts["cost"]] == [llm["tokens_in"], stt["seconds"], tts["characters"]]
    total = record["cost"]["amount"]
    assert total == pytest.approx(llm["cost"] + stt["cost"] + tts["cost"], abs=1e-6)
    assert record["cost"]["currency"] == "EUR"
    # The worker counts phrases too, which are no call's.
    (worker,) = await used_by(priced, "tts-worker")
    assert worker["characters"] >= tts["characters"] + len(GREETING) * (tts["characters"] == spoken)


async def mouths(platform: Platform) -> list[int]:
    """The processes that answer."""
    rows = await platform.ps()
    return [row["pid"] for row in rows if row["service"] == "tts-worker" and row["live_calls"] is not None]


async def test_where_a_worker_has_died_the_cost_says_that_it_may_be_more(
    priced: Platform, api: aiohttp.ClientSession, emulator: Emulator, bot_id: str
) -> None:
    """It tells each half minute; this one dies before it has told anything."""
    async with emulator.dial(bot_id=bot_id) as call:
        await call.hears(GREETING)
        (killed,) = await mouths(priced)
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(30):
            while killed in (again := await mouths(priced)) or not again:
                await asyncio.sleep(0.1)
        await call.says(WORDS)
        await call.hears(ANSWER, within_s=20)
    tts: dict[str, Any] = {}
    async with asyncio.timeout(10):
        while not tts:
            record = await shown(api, call.sid)
            tts = next((one for one in record["usage"] if one["role"] == "tts"), {})
    assert tts["characters"] >= len(ANSWER)
    assert not record["cost"]["complete"]
