"""Silence that nobody fills: slow and broken providers, a caller who says nothing, killed workers.

The calls of this file that take long are all begun at once.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from callbot.gateway.phrases import load
from callbot.schemas.text_audio import TONE
from callbot.studio.emulator import Caller, CallOver, Emulator, EndReason, Heard, NotHeard
from callbot.studio.up.running import Platform
from tests.chaos.test_killed_workers import kill, whole_again
from tests.conftest import BotMaker
from tests.vendors.customer import Customer

GREETING = "Hello! How can I help you?"
AUDIBLE_WITHIN_MS = 2500
PHRASES = {name: phrase.audio for name, phrase in load().items()}
FAULTS = {
    "webhook 500": ("500", "Hello"),
    "webhook times out": ("slow", "Hello"),
    "webhook answers a page": ("html", "Hello"),
    "webhook says nothing": ("empty-say", "Hello"),
    "webhook redirects": ("redirect", "Hello"),
    "webhook never ends": ("huge", "Hello"),
    "model down": ("echo", "llm down"),
    "model slow": ("echo", "llm slow"),
    "model stalls": ("echo", "llm stalls"),
    "model down, webhook 500": ("500", "llm down"),
    "model slow, webhook times out": ("slow", "llm slow"),
    "model stalls, webhook times out": ("slow", "llm stalls"),
    "voice fails": ("echo", "[[tts:fail]]"),
    "voice stalls": ("echo", "[[tts:stall]]"),
    "voice breaks": ("echo", "[[tts:break]] in the middle of what it says"),
}
"""The webhook's day, and what the caller says."""
MUMBLED = TONE * 800
"""Loud, long, and without words."""


def phrase_of(heard: Heard | bytes) -> str:
    """Which of our own sentences it was; the end may be cut short."""
    audio = heard if isinstance(heard, bytes) else heard.audio
    found = [name for name, said in PHRASES.items() if said.find(audio[800:4000]) >= 0]
    return found[0] if found else ""


@dataclass
class Bench:
    """What the calls of this file share."""

    emulator: Emulator
    api: aiohttp.ClientSession
    customer: Customer
    calls: dict[str, asyncio.Task[Any]] = field(default_factory=dict)

    async def bot(self, day: str, **fields: Any) -> str:
        bot = {"goal": "Test", "webhook": self.customer.webhook(day, f"dead-air-{day}"), **fields}
        async with self.api.post("/v1/bots", json=bot) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["id"])

    def begin(self, name: str, call: Coroutine[Any, Any, Any]) -> None:
        self.calls[name] = asyncio.create_task(call)


@pytest.fixture(scope="module")
async def bench(
    emulator: Emulator, api: aiohttp.ClientSession, customer: Customer, platform: Platform
) -> AsyncIterator[Bench]:
    bench = Bench(emulator, api, customer)
    bench.begin("silent", silent_caller(bench))
    for name, fields in {"goodbye": {}, "transfer": {"transfer_to": "+14155550142"}}.items():
        bench.begin(name, broken_for_ever(bench, **fields))
    for name, (day, said) in FAULTS.items():
        bench.begin(name, two_turns(bench, day, said))
    bench.begin("mumbles", mumbling_caller(bench))
    yield bench
    for call in bench.calls.values():
        call.cancel()
    await asyncio.gather(*bench.calls.values(), return_exceptions=True)


async def silent_caller(bench: Bench) -> tuple[list[str], Caller]:
    heard = []
    async with bench.emulator.dial(bot_id=await bench.bot("echo")) as call:
        await call.hears(GREETING)
        for _ in range(3):
            heard.append(phrase_of(await call.hears(within_s=12)))
        await call.ended()
    return heard, call


async def broken_for_ever(bench: Bench, **fields: Any) -> tuple[list[str], Caller]:
    """Model and webhook fail at every turn."""
    heard = []
    async with bench.emulator.dial(bot_id=await bench.bot("500", **fields)) as call:
        await call.hears(GREETING)
        for _ in range(3):
            await call.says("llm down")
            heard.append(phrase_of(await call.reply(within_s=6, silence_ms=1000)))
        await call.ended()
    return heard, call


async def two_turns(bench: Bench, day: str, said: str) -> tuple[list[float | None], Caller]:
    """How long after the last word something was heard, in each of them."""
    audible_after_ms = []
    async with bench.emulator.dial(bot_id=await bench.bot(day)) as call:
        await call.hears(GREETING)
        for _ in range(2):
            await call.says(said)
            audible_after_ms.append((await call.reply(silence_ms=4500)).voice_to_voice_ms)
    return audible_after_ms, call


async def mumbling_caller(bench: Bench) -> list[tuple[str, float | None]]:
    heard = []
    async with bench.emulator.dial(bot_id=await bench.bot("echo")) as call:
        await call.hears(GREETING)
        for _ in range(2):
            await call.says(MUMBLED)
            reply = await call.reply()
            heard.append((phrase_of(reply), reply.voice_to_voice_ms))
    return heard


async def test_a_slow_webhook_is_filled_after_a_second(emulator: Emulator, make_bot: BotMaker) -> None:
    bot = await make_bot("slow")
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("A table for four")
        filler = await call.reply(silence_ms=300)
        assert phrase_of(filler) == "one_moment"
        assert filler.voice_to_voice_ms is not None and 1200 <= filler.voice_to_voice_ms <= AUDIBLE_WITHIN_MS
        await call.hears("Now.")


async def test_a_silent_caller_is_asked_twice_and_then_told_goodbye(bench: Bench) -> None:
    heard, call = await bench.calls["silent"]
    assert heard == ["still_there", "still_there", "silent_goodbye"]
    assert call.call.end is not None and call.call.end.reason is EndReason.HANGUP


async def test_a_call_in_which_all_stays_broken_ends_with_a_goodbye(bench: Bench) -> None:
    heard, call = await bench.calls["goodbye"]
    assert heard == ["apology", "apology", "goodbye"]
    assert call.call.end is not None and call.call.end.reason is EndReason.HANGUP


async def test_or_it_is_transferred_where_the_bot_has_a_number_for_that(bench: Bench) -> None:
    heard, call = await bench.calls["transfer"]
    assert heard == ["apology", "apology", "one_moment"]
    assert call.call.dialed == ["+14155550142"]


async def test_who_cannot_be_understood_is_asked_again(bench: Bench) -> None:
    for phrase, after_ms in await bench.calls["mumbles"]:
        assert phrase == "not_understood"
        assert after_ms is not None and after_ms <= AUDIBLE_WITHIN_MS


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_breaks_something_is_audible_soon(fault: str, bench: Bench) -> None:
    audible_after_ms, call = await bench.calls[fault]
    assert all(ms is not None and ms <= AUDIBLE_WITHIN_MS for ms in audible_after_ms), audible_after_ms
    assert call.complaints.faults() == []


async def test_whichever_worker_is_killed_something_is_audible_soon(
    platform: Platform, emulator: Emulator, make_bot: BotMaker, bench: Bench
) -> None:
    await asyncio.wait(bench.calls.values())
    bot = await make_bot("long")
    await whole_again(platform)
    audible_after_ms: dict[str, float | None] = {}
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        for service in ("stt-worker", "dialog-worker", "tts-worker", "gateway"):
            speaking = asyncio.create_task(call.says("I would like to hear all about your restaurant"))
            await asyncio.sleep(0.4)
            await kill(platform, service)
            try:
                await speaking
                audible_after_ms[service] = (await call.reply()).voice_to_voice_ms
            except (CallOver, NotHeard) as e:
                pytest.fail(f"{service} was killed: {e}")
    assert all(ms is not None and ms <= AUDIBLE_WITHIN_MS for ms in audible_after_ms.values()), (
        audible_after_ms
    )
