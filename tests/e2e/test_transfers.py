"""A transfer that nobody takes: the caller has the bot again, and the record tells it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from callbot.gateway.phrases import load
from callbot.studio.emulator import DialOutcome, Emulator, EndReason
from tests.conftest import BotMaker
from tests.vendors.customer import Customer

GREETING = "Hello! How can I help you?"
HUMAN = "+14155550123"
NOBODY = "Nobody there, sorry."
Records = Callable[[str], Awaitable[dict[str, Any]]]


def fallbacks(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(told["stage"], told["reason"]) for told in record["fallbacks"]]


async def test_a_transfer_that_is_taken_is_the_end_of_the_call(
    emulator: Emulator, make_bot: BotMaker, record_of: Records
) -> None:
    bot = await make_bot("transfer")
    async with emulator.dial(bot_id=bot, dial_talk_s=0.5) as call:
        await call.hears(GREETING)
        await call.says("A human please")
        assert (await call.ended()).reason is EndReason.HANGUP
        assert (call.call.dialed, call.call.streams) == ([HUMAN], 1)
        assert call.complaints.faults() == []
    record = await record_of(call.sid)
    assert (record["end_reason"], fallbacks(record)) == ("transferred", [])


@pytest.mark.parametrize("outcome", [DialOutcome.BUSY, DialOutcome.NO_ANSWER, DialOutcome.FAILED])
async def test_nobody_takes_it_and_the_conversation_goes_on(
    emulator: Emulator,
    make_bot: BotMaker,
    customer: Customer,
    name: str,
    record_of: Records,
    outcome: DialOutcome,
) -> None:
    bot = await make_bot("transfer", phrases={"nobody_answers": NOBODY})
    async with emulator.dial(bot_id=bot, dial_outcome=outcome) as call:
        await call.reply()
        for time in (1, 2, 3):
            await call.says("A human please")
            await call.hears("One moment please.")
            # The bot's own sentence once it is spoken ahead, ours until then.
            await call.reply()
            assert (len(call.call.dialed), call.call.streams) == (time, time + 1)
        call.hangs_up()
        await call.ended()
        assert call.complaints.faults() == []
    said = customer.deliveries[name]
    assert [d.headers["Idempotency-Key"] for d in said] == [f"{call.sid}.{n}" for n in (1, 3, 5)]
    history = [entry["content"] for entry in said[1].body["history"]]
    assert history[:3] == [GREETING, "A human please", "One moment please."]
    assert history[3] in (NOBODY, load()["nobody_answers"].text)
    record = await record_of(call.sid)
    assert record["end_reason"] == "caller_hung_up"
    assert fallbacks(record) == [("call", f"transfer: {outcome}")] * 3
    assert [turn["input"] for turn in record["turns"]] == ["greeting", "speech"] * 3 + ["greeting"]
