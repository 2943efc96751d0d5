"""Webhook and language model on their bad days: the caller hears an answer all the same."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from callbot.gateway.phrases import load
from callbot.studio.emulator import Emulator
from tests.conftest import BotMaker

GREETING = "Hello! How can I help you?"
Records = Callable[[str], Awaitable[dict[str, Any]]]

WEBHOOK_DAYS = {
    "slow": "webhook_timeout",
    "html": "webhook_invalid",
    "500": "webhook_bad_status",
    "empty-say": "webhook_invalid",
    "missing-say": "webhook_invalid",
    "redirect": "webhook_bad_status",
    "huge": "webhook_too_large",
}


async def test_a_broken_webhook_is_replaced_by_the_suggestion(
    emulator: Emulator, make_bot: BotMaker, record_of: Records
) -> None:
    """All days at once, each in a call of its own. On the slow one the caller is asked for patience first."""

    async def one(day: str) -> tuple[str, str, str]:
        async with emulator.dial(bot_id=await make_bot(day)) as call:
            await call.hears(GREETING)
            await call.says("A table for four")
            await call.hears("Now.", within_s=6)
            heard = " ".join(call.texts_heard[1:])
        turn = (await record_of(call.sid))["turns"][1]
        return heard, turn["source"], turn["webhook_status"]

    outcomes = dict(zip(WEBHOOK_DAYS, await asyncio.gather(*map(one, WEBHOOK_DAYS)), strict=True))
    assert outcomes == {
        day: ("I suggest. Now.", "suggestion", status) for day, status in WEBHOOK_DAYS.items()
    }


async def test_a_webhook_that_is_down_is_replaced_by_the_suggestion(
    emulator: Emulator, make_bot: BotMaker, record_of: Records
) -> None:
    bot = await make_bot(webhook="http://127.0.0.1:1/bot")
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("A table for four")
        assert " ".join((await call.reply()).texts) == "I suggest. Now."
    assert (await record_of(call.sid))["turns"][1]["webhook_status"] == "webhook_unreachable"


async def test_a_broken_language_model_leaves_the_webhook_what_there_is(
    emulator: Emulator, make_bot: BotMaker
) -> None:
    bot = await make_bot("suggestion")

    async def one(said: str) -> tuple[str, ...]:
        async with emulator.dial(bot_id=bot) as call:
            await call.hears(GREETING)
            await call.says(said)
            return (await call.reply()).texts

    heard = await asyncio.gather(*map(one, ("llm down", "llm slow", "llm stalls")))
    assert heard == [("No suggestion.",), ("No suggestion.",), ("I suggest.",)]


async def test_when_both_are_down_the_caller_hears_an_apology_and_may_go_on(
    emulator: Emulator, make_bot: BotMaker, record_of: Records
) -> None:
    bot = await make_bot("500")
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("llm down")
        apology = await call.reply(within_s=6, silence_ms=1000)
        assert apology.audio in load()["apology"].audio or load()["apology"].audio in apology.audio
        await call.says("A table for four")
        assert " ".join((await call.reply()).texts) == "I suggest. Now."
    record = await record_of(call.sid)
    assert record["turns"][1]["source"] == "apology"
    # Facts of one moment may be kept in either order: two routers keep them.
    assert ("mind", "nothing to say") in [(f["stage"], f["reason"]) for f in record["fallbacks"]]


async def test_a_voice_that_does_not_work_here_is_in_the_record(
    emulator: Emulator, make_bot: BotMaker, record_of: Records
) -> None:
    async def fallbacks(voice: str) -> list[tuple[str, str]]:
        async with emulator.dial(bot_id=await make_bot(voice=voice)) as call:
            await call.hears(GREETING)
        told = [(told["stage"], told["reason"]) for told in (await record_of(call.sid))["fallbacks"]]
        return [(stage, reason) for stage, reason in told if reason.startswith("voice_fallback")]

    assert await fallbacks("elevenlabs:emma") == [("mouth", "voice_fallback: elevenlabs:emma")]
    assert await fallbacks("piper:joe") == []


async def test_suggestions_can_be_switched_off(emulator: Emulator, make_bot: BotMaker) -> None:
    bot = await make_bot("suggestion", suggest="off")
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("Hello")
        assert (await call.reply()).texts == ("No suggestion.",)


async def test_a_voice_that_fails_is_replaced_by_an_apology_from_memory(
    emulator: Emulator, make_bot: BotMaker, record_of: Records
) -> None:
    bot = await make_bot()
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("[[tts:fail]]")
        assert not (await call.reply(silence_ms=1000)).texts
        await call.says("Hello")
        assert (await call.reply()).texts == ("I heard Hello",)
    assert (await record_of(call.sid))["turns"][1]["source"] == "apology"
