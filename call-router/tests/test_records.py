"""Events become records: once each, in any order, whatever lies between."""

import itertools
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callbot.call_router import records
from callbot.call_router.memory import ensure_memory
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.runtime.bus import Bus, connect
from callbot.schemas.calls import (
    CallDetail,
    CallEnded,
    CallEvent,
    CallFact,
    CallRef,
    CallStarted,
    MediaFlowed,
    StageFallback,
    TurnDone,
    TurnRecord,
)
from callbot.schemas.memory import BUCKETS, CALL_EVENTS, CALLS
from callbot.schemas.subjects import CALL_EVENT, CALL_GET

from .conftest import ASK_S, as_user, eventually, new_bot, remembered
from .test_routing import admit, new_call_id, refusal, route

pytestmark = pytest.mark.usefixtures("router")
BEGAN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def story(call_id: str) -> list[CallEvent]:
    facts: list[CallFact] = [
        CallStarted(from_number="+14155550100", to_number="+14155550199"),
        TurnDone(turn=TurnRecord(number=1, input="speech", user_text="a table for four", say="When?")),
        StageFallback(stage="webhook", reason="webhook_timeout"),
        CallEnded(reason="caller_hung_up", duration_ms=61_000),
    ]
    return [
        CallEvent(
            event_id=f"{call_id}.1.{n}",
            call_id=call_id,
            bot_id="bot_1",
            user_id="public",
            at=BEGAN + timedelta(seconds=n),
            fact=fact,
        )
        for n, fact in enumerate(facts)
    ]


def assert_whole(record: dict[str, Any]) -> None:
    assert record["schema_version"] == 2
    assert (record["bot_id"], record["user_id"]) == ("bot_1", "public")
    assert (record["from_number"], record["to_number"]) == ("+14155550100", "+14155550199")
    assert record["started_at"] == BEGAN
    assert [turn["user_text"] for turn in record["turns"]] == ["a table for four"]
    assert [fallback["reason"] for fallback in record["fallbacks"]] == ["webhook_timeout"]
    assert (record["end_reason"], record["duration_ms"]) == ("caller_hung_up", 61_000)
    assert record["ended_at"] == BEGAN + timedelta(seconds=3)
    assert len(record["event_ids"]) == 4


async def tell(gateway: Bus, event: CallEvent, message_id: str = "") -> None:
    await remembered(gateway, CALL_EVENT, event, event.call_id, message_id)


async def ask_for(gateway: Bus, call_id: str, user_id: str = "public") -> CallDetail:
    return await gateway.ask(CALL_GET, CallRef(credential=as_user(user_id), call_id=call_id), timeout_s=ASK_S)


async def test_a_call_is_shown_to_its_owner_turns_in_order(gateway: Bus, stores: Stores) -> None:
    call_id = new_call_id()
    _, first, fallback, ended = story(call_id)
    second = TurnDone(turn=TurnRecord(number=2, input="dtmf", user_text="1"))
    await stores.call_log.fold(first.model_copy(update={"event_id": "e2", "fact": second}))
    for event in (first, fallback, ended):
        await stores.call_log.fold(event)
    call = await ask_for(gateway, call_id)
    assert [turn.number for turn in call.turns] == [1, 2]
    assert [told.reason for told in call.fallbacks] == ["webhook_timeout"]
    assert (call.from_number, call.started_at, call.end_reason) == ("", None, "caller_hung_up")
    assert await refusal(ask_for(gateway, call_id, "somebody-else")) == "call_not_found"
    assert await refusal(ask_for(gateway, new_call_id())) == "call_not_found"


async def test_a_call_that_was_only_routed_is_shown(gateway: Bus) -> None:
    bot = await new_bot(gateway)
    routed = await route(gateway, bot.id, new_call_id(), from_number="+1", to_number="+2")
    call = await ask_for(gateway, routed.call_id)
    assert call == CallDetail(call_id=routed.call_id, bot_id=bot.id, from_number="+1", to_number="+2")


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
async def test_events_are_folded_once_in_any_order(
    stores: Stores, database: Any, order: tuple[int, ...]
) -> None:
    call_id = new_call_id()
    events = story(call_id)
    for number in (*order, *order):
        await stores.call_log.fold(events[number])
    assert_whole(database["calls"].find_one({"call_id": call_id}))


async def test_told_events_reach_the_record(gateway: Bus, database: Any) -> None:
    call_id = new_call_id()
    for event in [*story(call_id), *story(call_id)]:
        await tell(gateway, event)
    ended = {"call_id": call_id, "event_ids": {"$size": 4}}
    assert_whole(await eventually(lambda: database["calls"].find_one(ended)))
    assert await refusal(route(gateway, "bot_1", call_id)) == "bot_not_found"


async def test_the_record_of_a_routed_call_is_kept_and_closed(gateway: Bus, database: Any) -> None:
    bot = await new_bot(gateway)
    routed = await route(gateway, bot.id, new_call_id(), from_number="+1", account_sid="AC" + "1" * 32)
    await admit(gateway, routed)
    *_, ended = story(routed.call_id)
    await tell(gateway, ended)
    record = await eventually(
        lambda: database["calls"].find_one({"call_id": routed.call_id, "duration_ms": 61_000})
    )
    assert (record["bot_id"], record["from_number"], record["generation"]) == (bot.id, "+1", 1)
    assert await refusal(admit(gateway, routed)) == "invalid_token"


async def test_poison_does_not_stop_what_follows(
    gateway: Bus, database: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(records, "REDELIVER_AFTER_S", 0.05)
    call_id = new_call_id()
    started, *_, ended = story(call_id)
    impossible = ended.model_copy(update={"fact": CallEnded(reason="failed", duration_ms=2**70)})
    js = gateway.jetstream()
    for junk in (b"", b"{", b'{"event_id": 1}', b"\xff" * 100):
        await js.publish(CALL_EVENT.of(call_id=call_id), junk)
    await tell(gateway, impossible)
    await tell(gateway, started)
    await eventually(lambda: database["calls"].find_one({"call_id": call_id, "started_at": BEGAN}))
    await eventually(lambda: caplog.text.count("a message is dropped") == 5)
    assert "duration_ms" not in database["calls"].find_one({"call_id": call_id})


async def test_streams_and_buckets_have_the_limits_of_the_table(settings: Settings) -> None:
    async with connect(settings.nats_url, speaks_as="call-router") as bus:
        js = bus.jetstream()
        await ensure_memory(js, 1)
        stream = (await js.stream_info(CALL_EVENTS.name)).config
        assert (stream.max_age, stream.max_bytes) == (CALL_EVENTS.max_age_s, CALL_EVENTS.max_bytes)
        for bucket in BUCKETS:
            kept = (await js.stream_info(f"KV_{bucket.name}")).config
            assert (kept.max_age, kept.max_bytes) == (bucket.ttl_s, bucket.max_bytes)


async def test_what_exists_with_other_limits_gets_those_of_the_table(settings: Settings) -> None:
    async with connect(settings.nats_url, speaks_as="call-router") as bus:
        js = bus.jetstream()
        for name in (CALL_EVENTS.name, f"KV_{CALLS.name}"):
            config = (await js.stream_info(name)).config
            await js.update_stream(config.evolve(max_age=60.0, duplicate_window=60.0))
        await ensure_memory(js, 1)
        assert (await js.stream_info(CALL_EVENTS.name)).config.max_age == CALL_EVENTS.max_age_s
        assert (await js.stream_info(f"KV_{CALLS.name}")).config.max_age == CALLS.ttl_s


def test_a_call_and_a_bot_can_be_kept_once_only(database: Any) -> None:
    for collection, field in (("calls", "call_id"), ("bots", "id")):
        unique = [i["key"] for i in database[collection].index_information().values() if i.get("unique")]
        assert [(field, 1)] in unique


@pytest.mark.parametrize("guess_first", [True, False])
async def test_what_the_call_itself_says_of_its_end_counts(stores: Stores, guess_first: bool) -> None:
    """Twilio's word that a call is over may come before its gateway has said why."""
    call_id = f"CA{secrets.token_hex(16)}"
    *_, told = story(call_id)
    guess = told.model_copy(
        update={"event_id": f"{call_id}.1.guess", "fact": CallEnded(reason="line_lost", duration_ms=5)}
    )
    for event in (guess, told) if guess_first else (told, guess):
        await stores.call_log.fold(event)
    kept = await stores.call_log.detail("public", call_id)
    assert kept is not None
    assert (kept.detail.end_reason, kept.detail.duration_ms) == ("caller_hung_up", 61_000)


async def test_a_guess_counts_when_nobody_knows_better(stores: Stores) -> None:
    call_id = f"CA{secrets.token_hex(16)}"
    *_, told = story(call_id)
    await stores.call_log.fold(told.model_copy(update={"fact": CallEnded(reason="line_lost", duration_ms=5)}))
    kept = await stores.call_log.detail("public", call_id)
    assert kept is not None and kept.detail.end_reason == "line_lost"


async def test_a_spent_token_is_remembered_and_the_record_is_as_it_was(stores: Stores, database: Any) -> None:
    call_id = new_call_id()
    started, *_ = story(call_id)
    flowed = started.model_copy(
        update={"event_id": f"{call_id}.1.9", "fact": MediaFlowed(stream_token_id="t1")}
    )
    for event in (flowed, flowed, started):
        assert await stores.call_log.fold(event)
    record = database["calls"].find_one({"call_id": call_id})
    assert record["spent_tokens"] == ["t1"] and record["started_at"] == BEGAN


@pytest.mark.parametrize("reason", ["caller_hung_up", "line_lost"])
async def test_the_end_of_a_call_frees_its_place_among_the_live_ones(
    gateway: Bus, stores: Stores, database: Any, reason: str
) -> None:
    call_id, user_id = new_call_id(), f"u_{secrets.token_hex(4)}"
    until = datetime.now(UTC) + timedelta(minutes=2)
    assert await stores.live_calls.take(user_id, call_id, until, 1)
    assert not await stores.live_calls.take(user_id, new_call_id(), until, 1)
    *_, ended = story(call_id)
    fact = CallEnded.model_validate({"reason": reason, "duration_ms": 1})
    await tell(gateway, ended.model_copy(update={"user_id": user_id, "fact": fact}))
    await eventually(lambda: database["live_calls"].find_one({"user_id": user_id, "live": []}))
    assert await stores.live_calls.take(user_id, new_call_id(), until, 1)
