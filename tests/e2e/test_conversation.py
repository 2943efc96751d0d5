"""A caller talks with a bot: separate processes, real sockets, audio as Twilio sends it."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from callbot.studio.emulator import Caller, Emulator, EndReason
from tests.conftest import BotMaker
from tests.vendors.customer import Customer

GREETING = "Hello! How can I help you?"
Records = Callable[[str], Awaitable[dict[str, Any]]]


def no_complaints(call: Caller) -> bool:
    """Nothing that Twilio would not have accepted."""
    return call.complaints.faults() == []


async def test_a_conversation_as_the_contract_has_it(
    emulator: Emulator, make_bot: BotMaker, customer: Customer, name: str, record_of: Records
) -> None:
    secret = "a-secret-of-our-own"
    bot = await make_bot(webhook_secret=secret, greeting=GREETING)
    async with emulator.dial(bot_id=bot, from_number="+14155550111") as call:
        assert (await call.reply()).texts == (GREETING,)
        await call.says("A table for four")
        assert (await call.reply()).texts == ("I heard A table for four",)
        await call.says("Tomorrow at seven")
        assert (await call.reply()).texts == ("I heard Tomorrow at seven",)
        call.hangs_up()
        assert (await call.ended()).reason is EndReason.CALLER_HUNG_UP
        assert no_complaints(call)
    first, second = customer.deliveries[name]
    timestamp, _, signature = first.headers["X-Callbot-Signature"].removeprefix("t=").partition(",v1=")
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + first.raw, hashlib.sha256).hexdigest()
    assert signature == signed
    assert first.headers["Idempotency-Key"] == f"{call.sid}.1" == first.body["turn_id"]
    assert first.headers["Content-Type"].startswith("application/json")
    expected = {"bot_id": bot, "user_text": "A table for four", "from": "+14155550111", "call_id": call.sid}
    assert expected.items() <= first.body.items()
    assert first.body["llm_suggestion"] == "I suggest. Now."
    assert first.body["history"] == [{"role": "bot", "content": GREETING}]
    assert second.body["history"] == [
        {"role": "bot", "content": GREETING},
        {"role": "user", "content": "A table for four"},
        {"role": "bot", "content": "I heard A table for four"},
    ]
    record = await record_of(call.sid)
    assert record["end_reason"] == "caller_hung_up"
    assert [t["heard"] for t in record["turns"]][1:] == [
        "I heard A table for four",
        "I heard Tomorrow at seven",
    ]
    assert all(t["times"]["voice_to_voice_ms"] for t in record["turns"][1:])


async def test_hang_up_comes_after_the_goodbye_was_heard(
    emulator: Emulator, make_bot: BotMaker, record_of: Records
) -> None:
    bot = await make_bot("hangup")
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("That is all")
        assert (await call.reply()).texts == ("Goodbye and thank you.",)
        assert (await call.ended()).reason is EndReason.HANGUP
        assert no_complaints(call)
    record = await record_of(call.sid)
    assert record["end_reason"] == "bot_hung_up"
    assert record["turns"][-1]["heard"] == "Goodbye and thank you."


async def test_a_transfer_dials_after_its_sentence(emulator: Emulator, make_bot: BotMaker) -> None:
    bot = await make_bot("transfer")
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("A human please")
        assert (await call.reply()).texts == ("One moment please.",)
        await call.ended()
        assert call.call.dialed == ["+14155550123"]


async def test_an_unknown_action_is_spoken_and_the_call_goes_on(
    emulator: Emulator, make_bot: BotMaker
) -> None:
    bot = await make_bot("unknown-action")
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        for _ in range(2):
            await call.says("Hello")
            assert (await call.reply()).texts == ("Fine.",)


async def test_keys_are_a_turn(emulator: Emulator, make_bot: BotMaker, customer: Customer, name: str) -> None:
    bot = await make_bot()
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.presses("12#")
        assert (await call.reply()).texts == ("I heard 12",)
    assert customer.deliveries[name][0].body["user_text"] == "12"


async def test_talking_over_the_bot_stops_it_and_cuts_the_history(
    emulator: Emulator, make_bot: BotMaker, customer: Customer, name: str
) -> None:
    bot = await make_bot("long")
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("Tell me everything")
        await call.hears("This is sentence 2")
        await call.says("Stop")
        assert await call.was_cleared()
        await call.hears("This is sentence 1")
    heard = customer.deliveries[name][1].body["history"][-1]["content"]
    assert heard.startswith("This is sentence 1 of a long answer.")
    assert "sentence 5" not in heard


async def test_four_calls_at_once_each_hear_their_own_bot(emulator: Emulator, make_bot: BotMaker) -> None:
    async def one(number: int) -> list[str]:
        bot = await make_bot(greeting=f"Welcome to shop {number}.")
        heard: list[str] = []
        async with emulator.dial(bot_id=bot) as call:
            await call.hears(f"Welcome to shop {number}.")
            for turn in range(3):
                await call.says(f"Caller {number} turn {turn}")
                heard += (await call.reply()).texts
            assert no_complaints(call)
        return heard

    heard = await asyncio.gather(*(one(n) for n in range(4)))
    assert heard == [[f"I heard Caller {n} turn {t}" for t in range(3)] for n in range(4)]


async def test_a_bot_deleted_during_its_call_goes_on_until_the_end(
    emulator: Emulator, make_bot: BotMaker, api: aiohttp.ClientSession
) -> None:
    bot = await make_bot()
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        async with api.delete(f"/v1/bots/{bot}") as answer:
            assert await answer.json() == {"message": "Bot deleted"}
        await call.says("Are you still there")
        assert (await call.reply()).texts == ("I heard Are you still there",)


async def test_a_number_nobody_answers_is_said_by_the_fallback(emulator: Emulator) -> None:
    async with emulator.dial(bot_id="bot_unknown") as call:
        await call.hears("Bot not found")
        assert not call.answered


async def test_a_paused_bot_says_so(
    emulator: Emulator, make_bot: BotMaker, api: aiohttp.ClientSession
) -> None:
    bot = await make_bot()
    async with api.patch(
        f"/v1/bots/{bot}", data=json.dumps({"status": "paused"}), headers={"Content-Type": "application/json"}
    ) as answer:
        assert (await answer.json())["status"] == "paused"
    async with emulator.dial(bot_id=bot) as call:
        await call.hears("not taking calls")
