"""Reports of usage become one sum for each provider, whatever comes twice, late or in another order."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from callbot.call_router.calls import Calls
from callbot.call_router.prices import Price, Prices
from callbot.call_router.stores import Stores
from callbot.runtime.bus import Bus
from callbot.schemas.calls import CallEnded, CallEvent, CallFact, CallRef
from callbot.schemas.usage import CallCost, UsageRecord, UsageTold, Used

from .conftest import as_user, eventually
from .test_records import ask_for, tell
from .test_routing import new_call_id

pytestmark = pytest.mark.usefixtures("router")
AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def heard(seconds: float, provider: str = "deepgram") -> Used:
    return Used(role="stt", provider=provider, model="nova-3", seconds=seconds)


def thought(tokens: int) -> Used:
    return Used(role="llm", provider="openai", model="m", tokens_in=tokens, tokens_out=1, estimated=True)


def spoken(characters: int) -> Used:
    return Used(role="tts", provider="elevenlabs", characters=characters)


def ears(number: int, *used: Used, epoch: int = 1025, last: bool = False) -> UsageTold:
    return UsageTold(seat="ears", epoch=epoch, number=number, last=last, used=list(used))


MIND = UsageTold(seat="mind", epoch=1025, number=1, last=True, used=[thought(1000)])
MOUTH = UsageTold(seat="mouth", epoch=1025, number=1, last=True, used=[spoken(200)])
ENDED = CallEnded(reason="caller_hung_up", duration_ms=61_000)
STORY: list[CallFact] = [
    ears(1, heard(30)),
    ears(2, heard(60)),
    ears(1, heard(5), heard(2, "google"), epoch=1026),
    ears(2, heard(7), heard(3, "google"), epoch=1026, last=True),
    MIND,
    MOUTH,
]
SUMS = [
    (one.role, one.provider, one.seconds, one.tokens_in, one.characters)
    for one in (thought(1000), heard(67), heard(3, "google"), spoken(200))
]


def event(call_id: str, fact: CallFact) -> CallEvent:
    told = f"{fact.seat}.{fact.epoch}.{fact.number}" if isinstance(fact, UsageTold) else fact.kind
    return CallEvent(
        event_id=f"{call_id}.usage.{told}",
        call_id=call_id,
        bot_id="bot_1",
        user_id="public",
        at=AT,
        fact=fact,
    )


def sums(records: list[UsageRecord]) -> list[tuple[Any, ...]]:
    return [(one.role, one.provider, one.seconds, one.tokens_in, one.characters) for one in records]


@pytest.mark.parametrize("order", list(itertools.permutations(range(6)))[::71])
async def test_the_newest_report_of_each_holder_counts_once(
    gateway: Bus, stores: Stores, database: Any, order: tuple[int, ...]
) -> None:
    call_id = new_call_id()
    for number in (*order, *order):
        assert await stores.call_log.fold(event(call_id, STORY[number]))
    call = await ask_for(gateway, call_id)
    assert sums(call.usage) == SUMS
    assert call.usage[0].estimated and not call.usage[1].estimated
    assert call.cost is None, "there are no prices"
    record = database["calls"].find_one({"call_id": call_id})
    assert "event_ids" not in record and record["schema_version"] == 2


async def test_a_repeated_event_reaches_the_record_once(gateway: Bus, database: Any) -> None:
    """Through the stream, also where its own time for duplicates is over."""
    call_id = new_call_id()
    for fact in [*STORY, *STORY]:
        await tell(gateway, event(call_id, fact))
    await tell(gateway, event(call_id, ENDED))
    await eventually(lambda: database["calls"].find_one({"call_id": call_id, "duration_ms": 61_000}))
    assert sums((await ask_for(gateway, call_id)).usage) == SUMS


PRICES = Prices(
    currency="EUR",
    price=(
        Price(role="stt", provider="deepgram", per_minute=Decimal(6)),
        Price(
            role="llm",
            provider="openai",
            per_million_tokens_in=Decimal(100),
            per_million_tokens_out=Decimal(0),
        ),
        Price(role="tts", provider="elevenlabs", per_million_characters=Decimal(50)),
    ),
)
WHOLE = [ears(1, heard(60), last=True), MIND, MOUTH, ENDED]


@pytest.mark.parametrize(
    ("facts", "amount", "complete"),
    [
        (WHOLE, 6.11, True),
        (WHOLE[:-1], 6.11, False),
        ([ears(1, heard(60)), MIND, MOUTH, ENDED], 6.11, False),
        ([ears(1, last=True), MIND, MOUTH, ENDED], 0.11, True),
        ([MIND, MOUTH, ENDED], 0.11, False),
        ([*WHOLE, ears(1, heard(60), epoch=1026)], 12.11, False),
        ([*WHOLE, ears(0, epoch=1026)], 6.11, False),
        ([*WHOLE, ears(0)], 6.11, True),
        ([*WHOLE, ears(1, heard(60, "google"), epoch=1026, last=True)], 6.11, False),
        ([ENDED], 0.0, False),
    ],
    ids=[
        "all",
        "it goes on",
        "the ears have died",
        "nothing was heard",
        "nobody knows of the ears",
        "an earlier holder has died",
        "it died before it told anything",
        "it was lost, and lives",
        "a price is missing",
        "an older record",
    ],
)
async def test_a_cost_says_whether_it_is_complete(
    gateway: Bus, stores: Stores, facts: list[CallFact], amount: float, complete: bool
) -> None:
    call_id = new_call_id()
    for fact in facts:
        await stores.call_log.fold(event(call_id, fact))
    question = CallRef(credential=as_user(), call_id=call_id)
    call = await Calls(stores, gateway, prices=PRICES).get("public", question)
    assert call.cost == CallCost(amount=amount, currency="EUR", complete=complete)


async def test_usage_makes_no_record_of_a_call_that_was_erased(stores: Stores, database: Any) -> None:
    call_id = new_call_id()
    await stores.call_log.forget(call_id, AT)
    assert not await stores.call_log.fold(event(call_id, MIND))
    assert database["calls"].find_one({"call_id": call_id}) is None
