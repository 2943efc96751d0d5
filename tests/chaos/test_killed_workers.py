"""kill -9 of the worker that serves a call, at each stage: the call goes on and no turn is lost."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from callbot.studio.emulator import Caller, Emulator
from callbot.studio.up.running import Platform
from tests.conftest import BotMaker
from tests.vendors.customer import Customer
from tests.vendors.openai_server import LanguageModel

GREETING = "Hello! How can I help you?"
Records = Callable[[str], Awaitable[dict[str, Any]]]


async def kill(platform: Platform, service: str, sig: signal.Signals = signal.SIGKILL) -> int:
    """The replica that holds a seat of the only call."""
    serving = [row for row in await platform.ps() if row["service"] == service and row["live_calls"]]
    assert len(serving) == 1, serving
    os.kill(serving[0]["pid"], sig)
    return serving[0]["pid"]


async def whole_again(platform: Platform, *, idle: bool = True) -> None:
    """Two replicas of each service answer, and hold nothing: the next test begins like the first."""
    for _ in range(200):
        services = [r for r in await platform.ps() if r["service"] not in ("nats", "mongo", "twilio")]
        calls = [row["live_calls"] for row in services]
        if len(services) == 10 and (calls == [0] * 10 or (not idle and None not in calls)):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("what was killed was not replaced")


async def goes_on(call: Caller) -> None:
    await call.says("Still there")
    assert (await call.reply()).texts == ("I heard Still there",)


async def test_ears_killed_while_the_caller_speaks(
    platform: Platform, emulator: Emulator, make_bot: BotMaker, customer: Customer, name: str
) -> None:
    bot = await make_bot()
    await whole_again(platform)
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("First")
        await call.reply()
        # 2.4 s of speech; its words are in its beginning, which only the killed worker has heard live.
        long = "I would like to say something long " + "and longer " * 12
        speaking = asyncio.create_task(call.says(long.strip()))
        await asyncio.sleep(0.6)
        await kill(platform, "stt-worker")
        await speaking
        reply = await call.reply()
        assert reply.texts == (f"I heard {long.strip()}",)
        assert reply.voice_to_voice_ms is not None and reply.voice_to_voice_ms < 2500
        await goes_on(call)
    said = [d.body["user_text"] for d in customer.deliveries[name]]
    assert said == ["First", long.strip(), "Still there"]


async def test_mind_killed_while_the_language_model_runs(
    platform: Platform,
    emulator: Emulator,
    make_bot: BotMaker,
    customer: Customer,
    language_model: LanguageModel,
    name: str,
) -> None:
    bot = await make_bot()
    await whole_again(platform)
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says(f"llm thinks about {name}")
        await language_model.thinks_about(name)
        # It has 700 ms to its first word.
        assert customer.deliveries[name] == []
        await kill(platform, "dialog-worker")
        assert (await call.reply()).texts == (f"I heard llm thinks about {name}",)
        await goes_on(call)
    keys = [d.headers["Idempotency-Key"] for d in customer.deliveries[name]]
    assert keys == [f"{call.sid}.1", f"{call.sid}.2"]


async def test_mouth_killed_while_the_bot_speaks(
    platform: Platform,
    emulator: Emulator,
    make_bot: BotMaker,
    customer: Customer,
    name: str,
    record_of: Records,
) -> None:
    bot = await make_bot("long")
    await whole_again(platform)
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("Tell me everything")
        await call.hears("This is sentence 1")
        await kill(platform, "tts-worker")
        for sentence in range(2, 6):
            await call.hears(f"This is sentence {sentence}", within_s=5)
        await call.reply()
        await call.says("And now")
        await call.hears("This is sentence 1")
    heard = [text for text in call.texts_heard if text.startswith("This is sentence 5")]
    assert len(heard) >= 1
    turn = (await record_of(call.sid))["turns"][1]
    assert turn["heard"] == turn["say"]
    assert len(customer.deliveries[name]) == 2


async def test_a_stuck_worker_equals_a_dead_one(
    platform: Platform, emulator: Emulator, make_bot: BotMaker
) -> None:
    bot = await make_bot()
    await whole_again(platform)
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        pid = await kill(platform, "stt-worker", signal.SIGSTOP)
        try:
            await call.says("Can you hear me")
            assert (await call.reply()).texts == ("I heard Can you hear me",)
        finally:
            os.kill(pid, signal.SIGCONT)
        await goes_on(call)


async def test_a_worker_that_is_asked_to_stop_hands_its_call_over(
    platform: Platform, emulator: Emulator, make_bot: BotMaker, customer: Customer, name: str
) -> None:
    bot = await make_bot()
    await whole_again(platform)
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        for number, service in enumerate(("stt-worker", "dialog-worker", "tts-worker")):
            await kill(platform, service, signal.SIGTERM)
            await call.says(f"Turn {number}")
            assert (await call.reply()).texts == (f"I heard Turn {number}",)
    assert [d.body["user_text"] for d in customer.deliveries[name]] == ["Turn 0", "Turn 1", "Turn 2"]


async def test_a_killed_gateway_is_followed_by_another_that_knows_the_conversation(
    platform: Platform, emulator: Emulator, make_bot: BotMaker, customer: Customer, name: str
) -> None:
    bot = await make_bot()
    await whole_again(platform)
    async with emulator.dial(bot_id=bot) as call:
        await call.reply()
        await call.says("A table for four")
        await call.reply()
        await kill(platform, "gateway")
        await call.hears("I heard A table for four")
        await goes_on(call)
        assert call.call.streams == 2
    assert [h["content"] for h in customer.deliveries[name][-1].body["history"]][:3] == [
        GREETING,
        "A table for four",
        "I heard A table for four",
    ]


async def test_a_call_whose_streams_keep_breaking_ends_with_an_apology(
    platform: Platform, emulator: Emulator, make_bot: BotMaker
) -> None:
    bot = await make_bot()
    await whole_again(platform)
    async with emulator.dial(bot_id=bot) as call:
        for _ in range(3):
            await call.hears(GREETING)
            await whole_again(platform, idle=False)
            await kill(platform, "gateway")
        await call.hears("something is wrong on our side", within_s=15)
        await call.ended()
        assert call.call.streams == 3
