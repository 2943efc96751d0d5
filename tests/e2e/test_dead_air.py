"""Silence that nobody fills: slow and broken providers, a caller who says nothing, killed workers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from callbot.gateway.phrases import load
from callbot.schemas.text_audio import TONE
from callbot.studio.emulator import Caller, CallOver, Emulator, EndReason, Heard, NotHeard
from callbot.studio.up.running import Platform
from tests.chaos.test_killed_workers import kill, whole_again
from tests.conftest import BotMaker
from tests.e2e.at_once import AtOnce, at_once
from tests.vendors.customer import Customer

AUDIBLE_WITHIN_MS = 2500
Calls = dict[str, asyncio.Task[Any]]
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
    "ears fail": ("echo", "[[stt:fail]]"),
    "ears stall": ("echo", "[[stt:stall]]"),
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


@pytest.fixture(scope="module")
async def calls(emulator: Emulator, api: aiohttp.ClientSession, customer: Customer) -> AsyncIterator[Calls]:
    async with at_once(emulator, api, customer) as begun:
        begun.begin("silent", silent_caller(begun))
        begun.begin("goodbye", broken_for_ever(begun))
        begun.begin("transfer", broken_for_ever(begun, transfer_to="+14155550142"))
        begun.begin("mumbles", mumbling_caller(begun))
        begun.begin("filler", slowly_answered(begun))
        for name, (day, said) in FAULTS.items():
            begun.begin(name, two_turns(begun, day, said))
        yield begun.calls


async def silent_caller(begun: AtOnce) -> tuple[list[str], Caller]:
    heard = []
    async with begun.emulator.dial(bot_id=await begun.bot("echo", "dead-air")) as call:
        await call.hears()
        for _ in range(3):
            heard.append(phrase_of(await call.hears(within_s=12)))
        await call.ended()
    return heard, call


async def broken_for_ever(begun: AtOnce, **fields: Any) -> tuple[list[str], Caller]:
    """Model and webhook fail at every turn."""
    heard = []
    async with begun.emulator.dial(bot_id=await begun.bot("500", "dead-air", **fields)) as call:
        await call.hears()
        for _ in range(3):
            await call.says("llm down")
            heard.append(phrase_of(await call.reply(within_s=6, silence_ms=1000)))
        await call.ended()
    return heard, call


async def two_turns(begun: AtOnce, day: str, said: str) -> tuple[list[float | None], Caller]:
    """How long after the last word something was heard, in each of them."""
    audible_after_ms = []
    async with begun.emulator.dial(bot_id=await begun.bot(day, "dead-air")) as call:
        await call.hears()
        for _ in range(2):
            await call.says(said)
            audible_after_ms.append((await call.reply(silence_ms=4500)).voice_to_voice_ms)
    return audible_after_ms, call


async def slowly_answered(begun: AtOnce) -> tuple[Heard, Caller]:
    async with begun.emulator.dial(bot_id=await begun.bot("slow", "dead-air")) as call:
        await call.hears()
        await call.says("A table for four")
        filler = await call.reply(silence_ms=300)
        await call.hears("Now.")
    return filler, call


async def mumbling_caller(begun: AtOnce) -> list[tuple[str, float | None]]:
    heard = []
    async with begun.emulator.dial(bot_id=await begun.bot("echo", "dead-air")) as call:
        await call.hears()
        for _ in range(2):
            await call.says(MUMBLED)
            reply = await call.reply()
            heard.append((phrase_of(reply), reply.voice_to_voice_ms))
    return heard


async def test_a_slow_webhook_is_filled_after_a_second(calls: Calls) -> None:
    filler, call = await calls["filler"]
    assert phrase_of(filler) == "one_moment"
    assert 1200 <= filler.voice_to_voice_ms <= AUDIBLE_WITHIN_MS
    assert call.texts_heard[-1] == "Now."


async def test_a_silent_caller_is_asked_twice_and_then_told_goodbye(calls: Calls) -> None:
    heard, call = await calls["silent"]
    assert heard == ["still_there", "still_there", "silent_goodbye"]
    assert call.call.end is not None and call.call.end.reason is EndReason.HANGUP


async def test_a_call_in_which_all_stays_broken_ends_with_a_goodbye(calls: Calls) -> None:
    heard, call = await calls["goodbye"]
    assert heard == ["apology", "apology", "goodbye"]
    assert call.call.end is not None and call.call.end.reason is EndReason.HANGUP


async def test_or_it_is_transferred_where_the_bot_has_a_number_for_that(calls: Calls) -> None:
    heard, call = await calls["transfer"]
    assert heard == ["apology", "apology", "one_moment"]
    assert call.call.dialed == ["+14155550142"]


async def test_who_cannot_be_understood_is_asked_again(calls: Calls) -> None:
    for phrase, after_ms in await calls["mumbles"]:
        assert phrase == "not_understood"
        assert after_ms is not None and after_ms <= AUDIBLE_WITHIN_MS


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_breaks_something_is_audible_soon(fault: str, calls: Calls) -> None:
    audible_after_ms, call = await calls[fault]
    assert all(ms is not None and ms <= AUDIBLE_WITHIN_MS for ms in audible_after_ms), audible_after_ms
    assert call.complaints.faults() == []


async def test_whichever_worker_is_killed_something_is_audible_soon(
    platform: Platform, emulator: Emulator, make_bot: BotMaker, calls: Calls
) -> None:
    await asyncio.wait(calls.values())
    bot = await make_bot()
    await whole_again(platform)
    audible_after_ms: dict[str, float | None] = {}
    async with emulator.dial(bot_id=bot) as call:
        await call.hears()
        for service in ("stt-worker", "dialog-worker", "tts-worker", "gateway"):
            speaking = asyncio.create_task(call.says("Tell me all about it"))
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
