"""A call that nobody took where it was transferred goes on: over the bus, in a real database."""

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Any

import pytest

from callbot.call_router.accounts import Accounts
from callbot.call_router.routing import Routing
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.call_router.tokens import CallTokens
from callbot.call_router.voices import Voices
from callbot.runtime.bus import Bus
from callbot.runtime.keyring import KeyRing
from callbot.schemas.bots import Bot
from callbot.schemas.calls import (
    CallBrief,
    CallEnded,
    CallEvent,
    CallRoute,
    EndReason,
    ReenterCall,
    RouteCall,
    StageFallback,
)
from callbot.schemas.subjects import CALL_REENTER

from .conftest import ASK_S, eventually, new_bot, settings_with
from .test_bots import delete
from .test_calls import erase
from .test_records import ask_for, tell
from .test_routing import UNSIGNED, admit, new_call_id, refusal, route

pytestmark = pytest.mark.usefixtures("router")


async def comes_back(gateway: Bus, brief: CallBrief) -> CallRoute:
    question = ReenterCall(call_id=brief.call_id, bot_id=brief.bot_id, transferred_in=brief.generation)
    return await gateway.ask(CALL_REENTER, question, timeout_s=ASK_S)


def end_of(brief: CallBrief, reason: EndReason, duration_ms: int = 1000) -> CallEvent:
    return CallEvent(
        event_id=f"{brief.call_id}.{brief.generation}.{reason}",
        call_id=brief.call_id,
        bot_id=brief.bot_id,
        user_id=brief.user_id,
        generation=brief.generation,
        at=datetime.now(UTC),
        fact=CallEnded(reason=reason, duration_ms=duration_ms),
    )


def kept(database: Any, brief: CallBrief) -> dict[str, Any]:
    return dict(database["calls"].find_one({"call_id": brief.call_id}))


def has_seat(database: Any, brief: CallBrief) -> bool:
    seat = {"user_id": brief.user_id, "live.call_id": brief.call_id}
    return database["live_calls"].find_one(seat) is not None


async def ends(gateway: Bus, database: Any, brief: CallBrief, reason: EndReason, ms: int = 1000) -> None:
    await tell(gateway, end_of(brief, reason, ms))
    await eventually(lambda: kept(database, brief)["end_reason"] == reason)
    await eventually(lambda: not has_seat(database, brief))


@pytest.fixture
async def bot(gateway: Bus) -> Bot:
    return await new_bot(gateway, f"u_{secrets.token_hex(4)}")


@pytest.fixture
async def brief(gateway: Bus, bot: Bot) -> CallBrief:
    """Of the first stream of a call."""
    return await admit(gateway, await route(gateway, bot.id, new_call_id()))


async def test_a_call_that_nobody_took_goes_on_and_ends_a_second_time(
    gateway: Bus, database: Any, brief: CallBrief
) -> None:
    await ends(gateway, database, brief, "transferred", 9000)
    fallback = StageFallback(stage="call", reason="transfer: no-answer")
    await tell(gateway, end_of(brief, "transferred").model_copy(update={"event_id": "f", "fact": fallback}))
    entered = await comes_back(gateway, brief)
    record = kept(database, brief)
    assert (record["ended_at"], record["end_reason"], record["duration_ms"]) == (None, None, None)
    assert has_seat(database, brief)
    assert await refusal(erase(gateway, brief.call_id, brief.user_id)) == "call_live"
    second = await admit(gateway, entered)
    assert (second.generation, second.greeting) == (2, brief.greeting)
    await ends(gateway, database, second, "caller_hung_up", 60_000)
    call = await ask_for(gateway, brief.call_id, brief.user_id)
    assert (call.end_reason, call.duration_ms) == ("caller_hung_up", 60_000)
    assert [told.reason for told in call.fallbacks] == ["transfer: no-answer"]


async def test_an_end_that_is_told_late_ends_nothing(
    gateway: Bus, stores: Stores, database: Any, brief: CallBrief
) -> None:
    """The database was away, or the event comes once more; the last end counts in whatever order."""
    second = await admit(gateway, await comes_back(gateway, brief))
    transferred = end_of(brief, "transferred")
    for event_id in (transferred.event_id, transferred.event_id, "again", "behind all"):
        await tell(gateway, transferred.model_copy(update={"event_id": event_id}))
    await eventually(lambda: "behind all" in kept(database, brief).get("event_ids", ()))
    assert kept(database, brief)["ended_at"] is None and has_seat(database, brief)
    await stores.call_log.fold(end_of(second, "bot_hung_up"))
    await stores.call_log.fold(transferred.model_copy(update={"event_id": "last"}))
    assert kept(database, brief)["end_reason"] == "bot_hung_up"


async def test_it_may_be_transferred_again(gateway: Bus, database: Any, brief: CallBrief) -> None:
    for generation in (2, 3):
        await ends(gateway, database, brief, "transferred")
        brief = await admit(gateway, await comes_back(gateway, brief))
        assert brief.generation == generation
    await ends(gateway, database, brief, "transferred")


async def test_only_a_transfer_is_taken_back(gateway: Bus, database: Any, bot: Bot, brief: CallBrief) -> None:
    await ends(gateway, database, brief, "caller_hung_up")
    assert await refusal(comes_back(gateway, brief)) == "call_over"
    other = await admit(gateway, await route(gateway, bot.id, new_call_id()))
    await ends(gateway, database, other, "transferred")
    question = ReenterCall(call_id=other.call_id, bot_id=bot.id)
    assert await refusal(gateway.ask(CALL_REENTER, question, timeout_s=ASK_S)) == "call_over"
    await delete(gateway, bot.id, other.user_id)
    assert await refusal(comes_back(gateway, other)) == "bot_not_found"
    assert kept(database, other)["end_reason"] == "transferred"


async def test_twilio_asks_twice_at_the_same_time(gateway: Bus, database: Any, brief: CallBrief) -> None:
    await ends(gateway, database, brief, "transferred")
    first, second = await asyncio.gather(*(comes_back(gateway, brief) for _ in range(2)))
    assert (await admit(gateway, first)).generation == 2
    assert (await admit(gateway, second)).generation == 3
    assert kept(database, brief)["reopened_after"] == 1


async def test_a_call_that_goes_when_its_stream_does_not_come_is_closed_by_twilios_word(
    gateway: Bus, database: Any, brief: CallBrief
) -> None:
    await ends(gateway, database, brief, "transferred")
    assert (await comes_back(gateway, brief)).call_id == brief.call_id
    assert has_seat(database, brief)
    await ends(gateway, database, brief, "line_lost")
    assert not has_seat(database, brief)


async def test_others_may_have_its_place_by_now(
    stores: Stores, settings: Settings, gateway: Bus, bot: Bot
) -> None:
    limited = settings_with(settings, calls_at_once=1)
    voice_status = Voices(gateway).status_in_call
    routing = Routing(stores, Accounts(stores, limited), CallTokens(KeyRing.random()), voice_status, limited)

    def asked() -> RouteCall:
        return RouteCall(request=UNSIGNED, bot_id=bot.id, call_id=new_call_id())

    routed = await routing.route(asked())
    record = await stores.calls.get(routed.call_id)
    assert record is not None
    event = CallEvent(
        event_id="1",
        call_id=record.call_id,
        bot_id=bot.id,
        user_id=record.user_id,
        generation=1,
        at=datetime.now(UTC),
        fact=CallEnded(reason="transferred", duration_ms=1),
    )
    await stores.call_log.fold(event)
    await stores.live_calls.free(record.user_id, record.call_id)
    other = await routing.route(asked())
    back = ReenterCall(call_id=record.call_id, bot_id=bot.id, transferred_in=1)
    assert await refusal(routing.reenter(back)) == "busy"
    assert (await stores.calls.get(record.call_id) or record).end_reason == "transferred"
    await stores.live_calls.free(record.user_id, other.call_id)
    assert (await routing.reenter(back)).call_id == record.call_id
