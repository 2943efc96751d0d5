"""The greeting comes from memory: spoken ahead when a bot is made or changed, there before its stream."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from callbot.schemas.turn_taking import phrase_key
from callbot.studio.emulator import Caller, Emulator
from callbot.studio.up.running import Platform
from tests.conftest import BotMaker

AUDIBLE_WITHIN_MS = 700
"""From the start of the stream."""
Records = Callable[[str], Awaitable[dict[str, Any]]]


async def spoken_ahead(platform: Platform, text: str) -> None:
    """A tts-worker says which phrase it has stored."""
    key = phrase_key("piper:joe", "en-US", text)
    async with asyncio.timeout(10):
        while key not in platform.log.read_text(errors="replace"):
            await asyncio.sleep(0.05)


async def assert_from_memory(call: Caller, record_of: Records, greeting: str) -> None:
    heard = await call.hears(greeting)
    assert heard.started_ms <= AUDIBLE_WITHIN_MS
    await call.reply()
    call.hangs_up()
    turn = (await record_of(call.sid))["turns"][0]
    assert (turn["input"], turn["heard"]) == ("greeting", greeting)
    assert turn["times"]["tts_first_audio_ms"] is None, "the mouth was asked for it"


async def test_a_greeting_is_spoken_before_the_first_call_and_after_a_change(
    platform: Platform,
    emulator: Emulator,
    make_bot: BotMaker,
    api: aiohttp.ClientSession,
    record_of: Records,
    name: str,
) -> None:
    first, second = f"Good morning from {name}.", f"Good evening from {name}."
    bot = await make_bot(greeting=first)
    await spoken_ahead(platform, first)
    async with emulator.dial(bot_id=bot) as call:
        await assert_from_memory(call, record_of, first)
    changes = json.dumps({"greeting": second})
    async with api.patch(
        f"/v1/bots/{bot}", data=changes, headers={"Content-Type": "application/json"}
    ) as answer:
        assert answer.status == 200
    await spoken_ahead(platform, second)
    async with emulator.dial(bot_id=bot) as call:
        await assert_from_memory(call, record_of, second)


async def test_a_greeting_that_is_not_spoken_yet_is_said_at_once(
    emulator: Emulator, make_bot: BotMaker, name: str
) -> None:
    """The call comes in the same moment."""
    greeting = f"Hello from {name}."
    async with emulator.dial(bot_id=await make_bot(greeting=greeting)) as call:
        assert (await call.hears(greeting)).started_ms <= AUDIBLE_WITHIN_MS
