"""The local models instead of scripted ones: real speech through mu-law, Silero, Whisper, Piper, SmolLM2."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest

from callbot.studio.demo import word_error_rate
from callbot.studio.emulator import Emulator, Voice, piper_voice
from callbot.studio.emulator.sounds import joined
from callbot.studio.up.running import WITHOUT_LIMITS, Platform, running_platform
from tests.vendors.customer import Customer

WORST_WORD_ERROR_RATE = 0.25
"""One small model and short sentences: a single word misheard must not fail the run."""


@pytest.fixture(scope="module")
async def voice() -> AsyncIterator[Voice]:
    async with piper_voice() as voice:
        yield voice


@pytest.fixture(scope="module")
async def real_platform() -> AsyncIterator[Platform]:
    async with running_platform("--replicas", "2", env=WITHOUT_LIMITS) as platform:
        yield platform


async def create_bot(platform: Platform, customer: Customer, name: str) -> str:
    bot = {"goal": "Book a table", "webhook": customer.webhook("echo", name), "greeting": "Hello."}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{platform.url}/v1/bots", json=bot) as answer,
    ):
        return str((await answer.json())["id"])


def phones(platform: Platform) -> Emulator:
    return Emulator(platform.url, account=platform.twilio.accounts.platform)


def heard_by(customer: Customer, name: str) -> list[str]:
    return [d.body["user_text"] for d in customer.deliveries[name]]


async def test_ears_killed_late_in_a_long_sentence(
    real_platform: Platform, customer: Customer, voice: Voice, name: str
) -> None:
    """The new holder hears five seconds at once; nothing of them may be lost."""
    said = (
        "Good evening I would like to book a table for four people tomorrow at seven in the evening "
        "and if it is possible we would like to sit near the window"
    )
    speech = await voice.speech(said)
    assert len(speech) > 6 * 8000
    bot = await create_bot(real_platform, customer, name)
    async with phones(real_platform) as emulator, emulator.dial(bot_id=bot) as call:
        await call.hears(within_s=10)
        speaking = asyncio.create_task(call.says(speech))
        await asyncio.sleep(5)
        (pid,) = [
            row["pid"]
            for row in await real_platform.ps()
            if row["service"] == "stt-worker" and row["live_calls"]
        ]
        os.kill(pid, signal.SIGKILL)
        await speaking
        await call.reply(within_s=6)
    text = " ".join(heard_by(customer, name))
    assert word_error_rate(said, text) < WORST_WORD_ERROR_RATE, text


async def test_four_callers_at_once_each_reach_their_own_bot_in_order(
    real_platform: Platform, customer: Customer, voice: Voice, name: str
) -> None:
    texts = (
        ("I would like to book a table", "My name is Anna Miller"),
        ("What time do you close on Sunday", "Thank you very much"),
        ("I need to cancel my appointment", "It was on Friday morning"),
        ("Do you have a parking space", "That would be very helpful"),
    )
    speech = {text: await voice.speech(text) for pair in texts for text in pair}

    async def one(number: int) -> None:
        bot = await create_bot(real_platform, customer, f"{name}-{number}")
        async with phones(real_platform) as emulator, emulator.dial(bot_id=bot) as call:
            await call.hears(within_s=15)
            for text in texts[number]:
                await call.says(speech[text])
                await call.reply(within_s=10)

    await asyncio.gather(*(one(number) for number in range(len(texts))))
    for number, said in enumerate(texts):
        heard = heard_by(customer, f"{name}-{number}")
        assert len(heard) == len(said), heard
        assert word_error_rate(" ".join(said), " ".join(heard)) < 2 * WORST_WORD_ERROR_RATE, heard


async def test_a_phone_number_dictated_with_pauses_is_one_turn(
    real_platform: Platform, customer: Customer, voice: Voice, name: str
) -> None:
    parts = ("My number is five five five", "one two three", "four five six seven")
    dictated = joined([await voice.speech(part) for part in parts], 700)
    bot = await create_bot(real_platform, customer, name)
    async with phones(real_platform) as emulator, emulator.dial(bot_id=bot) as call:
        await call.hears(within_s=15)
        await call.says(dictated)
        await call.reply(within_s=10)
    (heard,) = heard_by(customer, name)
    assert "".join(c for c in heard if c.isdigit()) == "5551234567", heard
