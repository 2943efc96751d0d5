"""Who has the floor: a caller who speaks, coughs, hums or presses keys while the bot speaks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from callbot.schemas.text_audio import audible
from callbot.studio.emulator import Caller, Cut, Emulator, Heard, Said
from callbot.studio.emulator.sounds import cough
from tests.conftest import MS_PER_CHARACTER
from tests.e2e.at_once import AtOnce, at_once
from tests.vendors.customer import Customer

LONG_ANSWER = [f"This is sentence {number} of a long answer." for number in range(1, 6)]
PROTECTED_GREETING = "Welcome to our restaurant. This call may be recorded to train our staff. Hello!"
SOUNDS = {"mm-hm": audible("mm-hm", 100), "cough": cough(1), "coughs": cough(2)}
SPEAKS_ON_WITHIN_MS = 400
MAY_BE_LOST_MS = 200
Calls = dict[str, asyncio.Task[Any]]
Records = Callable[[str], Awaitable[dict[str, Any]]]


def spoken_ms(heard: Heard) -> float:
    """How much of it was sound: scripted voices have no silent byte."""
    return len(heard.audio.replace(b"\xff", b"")) / 8


@dataclass(frozen=True)
class Interrupted:
    """The bot was giving its long answer when the caller made a sound."""

    call: Caller
    answer: Heard
    made: Said
    cut: Cut | None
    went_on_ms: int | None
    then: Heard
    """What the bot said next."""


@pytest.fixture(scope="module")
async def calls(emulator: Emulator, api: aiohttp.ClientSession, customer: Customer) -> AsyncIterator[Calls]:
    async with at_once(emulator, api, customer) as begun:
        for name, sound in SOUNDS.items():
            begun.begin(name, interrupted_by_sound(begun, name, sound))
        begun.begin("words", interrupted_by_words(begun))
        begun.begin("key", interrupted_by_key(begun))
        begun.begin("protected", spoken_over_the_greeting(begun))
        begun.begin("noise", noise_that_lasts(begun))
        yield begun.calls


async def asked(call: Caller) -> asyncio.Task[Heard]:
    """The bot is giving its long answer; the task ends when it has fallen silent."""
    await call.hears()
    await call.says("Tell me everything")
    answer = asyncio.create_task(call.reply(silence_ms=1500))
    await call.listens(800)
    return answer


async def interrupted_by_sound(begun: AtOnce, name: str, sound: bytes) -> Interrupted:
    bot = await begun.bot("long", name)
    async with begun.emulator.dial(bot_id=bot) as call:
        answer = await asked(call)
        made = await call.makes(sound)
        cut = await call.cut_by(made)
        went_on_ms = await call.hears_on_after(cut) if cut else None
        heard = await answer
        await call.says("Thank you")
        return Interrupted(call, heard, made, cut, went_on_ms, await call.reply())


async def interrupted_by_words(begun: AtOnce) -> Interrupted:
    bot = await begun.bot("long", "words")
    async with begun.emulator.dial(bot_id=bot) as call:
        answer = await asked(call)
        said = await call.says("Stop, I want something else")
        cut = await call.cut_by(said)
        return Interrupted(call, await answer, said, cut, None, await call.reply())


async def interrupted_by_key(begun: AtOnce) -> Caller:
    bot = await begun.bot("long", "key")
    async with begun.emulator.dial(bot_id=bot) as call:
        await asked(call)
        await call.presses("1#")
        await call.reply()
        return call


async def spoken_over_the_greeting(begun: AtOnce) -> Caller:
    fields = {"greeting": PROTECTED_GREETING, "protect_greeting": True}
    bot = await begun.bot("echo", "protected", **fields)
    async with begun.emulator.dial(bot_id=bot) as call:
        await call.listens(300)
        await call.says("A table for four")
        await call.hears("I heard A table for four")
        return call


async def noise_that_lasts(begun: AtOnce) -> tuple[Cut | None, Heard]:
    bot = await begun.bot("long", "noise")
    async with begun.emulator.dial(bot_id=bot) as call:
        await asked(call)
        made = await call.says(cough(1) * 8)
        return await call.cut_by(made), await call.reply()


async def test_words_cut_the_bot_off_and_its_history_ends_with_what_was_heard(
    calls: Calls, customer: Customer, record_of: Records
) -> None:
    interrupted: Interrupted = await calls["words"]
    assert interrupted.cut is not None
    # The answer to what was said; the first one was never taken up again.
    assert interrupted.then.texts == tuple(LONG_ANSWER)
    assert LONG_ANSWER[3] not in interrupted.call.texts_heard[:-5]
    first, second = (delivery.body for delivery in customer.deliveries["words"])
    heard = second["history"][-1]["content"]
    assert second["history"][:-2] == first["history"]
    assert heard.startswith(LONG_ANSWER[0]) and " ".join(LONG_ANSWER[:3]).startswith(heard)
    turn = (await record_of(interrupted.call.sid))["turns"][1]
    assert (turn["interrupted"], turn["heard"]) == (True, heard)


@pytest.mark.parametrize("sound", SOUNDS)
async def test_after_a_sound_that_is_no_turn_the_bot_goes_on_where_it_was(
    sound: str, calls: Calls, customer: Customer, record_of: Records
) -> None:
    interrupted: Interrupted = await calls[sound]
    assert interrupted.answer.texts == tuple(LONG_ANSWER)
    expected_ms = sum(len(audible(sentence, MS_PER_CHARACTER)) for sentence in LONG_ANSWER) / 8
    assert spoken_ms(interrupted.answer) == pytest.approx(expected_ms, abs=MAY_BE_LOST_MS)
    assert interrupted.cut is not None and interrupted.went_on_ms is not None
    assert interrupted.went_on_ms - interrupted.made.last_word_ms <= SPEAKS_ON_WITHIN_MS
    said = [delivery.body["user_text"] for delivery in customer.deliveries[sound]]
    assert said == ["Tell me everything", "Thank you"]
    turn = (await record_of(interrupted.call.sid))["turns"][1]
    assert turn["pauses"] >= 1 and not turn["interrupted"]
    assert turn["heard"] == turn["say"]


async def test_a_key_cuts_the_bot_off_at_once(calls: Calls, customer: Customer) -> None:
    call: Caller = await calls["key"]
    assert len(call.call.cuts) == 1
    first, second = (delivery.body for delivery in customer.deliveries["key"])
    assert (first["user_text"], second["user_text"]) == ("Tell me everything", "1")
    assert LONG_ANSWER[3] not in second["history"][-1]["content"]


async def test_a_protected_greeting_is_said_to_its_end_and_what_was_said_meanwhile_is_answered(
    calls: Calls,
) -> None:
    call: Caller = await calls["protected"]
    assert call.call.cuts == []
    assert call.texts_heard == [PROTECTED_GREETING, "I heard A table for four"]


async def test_a_noise_that_lasts_does_not_silence_the_bot_for_ever(
    calls: Calls,
) -> None:
    """Nobody can say what it is: after 1.5 s the bot gives way, and when it ends it asks."""
    cut, asked_again = await calls["noise"]
    assert cut is not None
    assert asked_again.voice_to_voice_ms < 2500
