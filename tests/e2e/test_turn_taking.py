"""Who has the floor: a caller who speaks, coughs, hums or presses keys while the bot speaks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from callbot.schemas.text_audio import audible
from callbot.studio.emulator import Caller, Emulator, Heard, NotHeard
from callbot.studio.emulator.sounds import cough
from tests.conftest import MS_PER_CHARACTER, BotMaker
from tests.vendors.customer import Customer

GREETING = "Hello! How can I help you?"
LONG_ANSWER = [f"This is sentence {number} of a long answer." for number in range(1, 6)]
SPEAKS_ON_WITHIN_MS = 400
MAY_BE_LOST_MS = 200
Records = Callable[[str], Awaitable[dict[str, Any]]]


def spoken_ms(heard: Heard) -> float:
    """How much of it was sound: scripted voices have no silent byte."""
    return len(heard.audio.replace(b"\xff", b"")) / 8


async def asked(call: Caller) -> asyncio.Task[Heard]:
    """The bot is giving its long answer; the task ends when it has fallen silent."""
    await call.hears(GREETING)
    await call.says("Tell me everything")
    answer = asyncio.create_task(call.reply(silence_ms=1500))
    await call.listens(800)
    return answer


async def test_words_cut_the_bot_off_and_its_history_ends_with_what_was_heard(
    emulator: Emulator, make_bot: BotMaker, customer: Customer, name: str, record_of: Records
) -> None:
    bot = await make_bot("long")
    async with emulator.dial(bot_id=bot) as call:
        answer = await asked(call)
        said = await call.says("Stop, I want something else")
        cut = call.cut_by(said)
        assert cut is not None
        await answer
        reply = await call.reply()
        assert reply.texts[0] == LONG_ANSWER[0]
        call.hangs_up()
    assert cut.skipped_ms() is None
    assert "sentence 4" not in " ".join(call.texts_heard[: -len(reply.texts)])
    first, second = (delivery.body for delivery in customer.deliveries[name][:2])
    heard = second["history"][-2]["content"] if second["history"][-1]["role"] == "user" else ""
    heard = heard or second["history"][-1]["content"]
    assert " ".join(LONG_ANSWER).startswith(heard) and LONG_ANSWER[0] in heard
    assert "sentence 4" not in heard and first["history"] == second["history"][:1]
    turn = (await record_of(call.sid))["turns"][1]
    assert (turn["interrupted"], turn["heard"]) == (True, heard)


@pytest.mark.parametrize("sound", [audible("mm-hm", MS_PER_CHARACTER), cough(1), cough(2)])
async def test_after_a_sound_that_is_no_turn_the_bot_goes_on_where_it_was(
    sound: bytes, emulator: Emulator, make_bot: BotMaker, customer: Customer, name: str, record_of: Records
) -> None:
    bot = await make_bot("long")
    async with emulator.dial(bot_id=bot) as call:
        answer = await asked(call)
        made = await call.makes(sound)
        cut = call.cut_by(made)
        assert cut is not None
        went_on_ms = await call.hears_on_after(cut)
        heard = await answer
        await call.says("Thank you")
        await call.reply()
    assert heard.texts == tuple(LONG_ANSWER)
    expected_ms = sum(len(audible(sentence, MS_PER_CHARACTER)) for sentence in LONG_ANSWER) / 8
    assert spoken_ms(heard) == pytest.approx(expected_ms, abs=MAY_BE_LOST_MS)
    assert went_on_ms - made.last_word_ms <= SPEAKS_ON_WITHIN_MS
    assert [delivery.body["user_text"] for delivery in customer.deliveries[name]] == [
        "Tell me everything",
        "Thank you",
    ]
    turns = (await record_of(call.sid))["turns"]
    assert [(turn["pauses"], turn["interrupted"]) for turn in turns[1:2]] == [(1, False)]
    assert turns[1]["heard"] == turns[1]["say"]


async def test_a_key_cuts_the_bot_off_at_once(
    emulator: Emulator, make_bot: BotMaker, customer: Customer, name: str
) -> None:
    bot = await make_bot("long")
    async with emulator.dial(bot_id=bot) as call:
        answer = await asked(call)
        await call.presses("1#")
        assert len(call.call.cuts) == 1
        await answer
        await call.hears(LONG_ANSWER[4])
    second = customer.deliveries[name][1].body
    assert second["user_text"] == "1"
    assert "sentence 4" not in second["history"][-1]["content"]


async def test_a_protected_greeting_is_said_to_its_end_and_what_was_said_meanwhile_is_answered(
    emulator: Emulator, make_bot: BotMaker
) -> None:
    greeting = "Welcome to our restaurant. This call may be recorded for the training of our staff. Hello!"
    bot = await make_bot(greeting=greeting, protect_greeting=True)
    async with emulator.dial(bot_id=bot) as call:
        await call.listens(300)
        await call.says("A table for four")
        await call.hears("I heard A table for four")
        assert call.call.cuts == []
    assert call.texts_heard[0] == greeting


async def test_a_hum_that_does_not_end_does_not_silence_the_bot_for_ever(
    emulator: Emulator, make_bot: BotMaker
) -> None:
    """Nobody can say what it is; after 1.5 s it counts as speech, and its end as the end of a turn."""
    bot = await make_bot("long")
    async with emulator.dial(bot_id=bot) as call:
        answer = await asked(call)
        made = await call.makes(cough(1, dbfs=-20) * 8)
        assert call.cut_by(made) is not None
        await answer
        try:
            await call.listens(200, within_s=2.5)
        except NotHeard:
            pytest.fail("the bot said nothing after the noise")
