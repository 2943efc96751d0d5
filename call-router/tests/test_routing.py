"""Which bot takes a call and which stream is one of its streams, over the bus and in a real database."""

import asyncio
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callbot.call_router.accounts import Accounts
from callbot.call_router.routing import RENEW_AFTER, Routing
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.call_router.tokens import VALID_FOR, CallTokens
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.runtime.keyring import KeyRing
from callbot.schemas.bots import BotPatch, BotRef, UpdateBot
from callbot.schemas.calls import (
    AdmitStream,
    CallBrief,
    CallEvent,
    CallRoute,
    MediaFlowed,
    ReenterCall,
    RouteCall,
    RouteVerdict,
    TwilioRequest,
)
from callbot.schemas.seats import MAX_GENERATION
from callbot.schemas.subjects import (
    BOT_DELETE,
    BOT_UPDATE,
    CALL_ADMIT,
    CALL_EVENT,
    CALL_REENTER,
    CALL_ROUTE,
)

from .conftest import ASK_S, as_user, eventually, every_voice_works, new_bot

pytestmark = pytest.mark.usefixtures("router")
UNSIGNED = TwilioRequest(target="/v1/voice")


def new_call_id() -> str:
    return "CA" + secrets.token_hex(16)


async def route(gateway: Bus, bot_id: str | None, call_id: str | None, **fields: str) -> CallRoute:
    question = RouteCall(request=UNSIGNED, bot_id=bot_id, call_id=call_id, **fields)
    return await gateway.ask(CALL_ROUTE, question, timeout_s=ASK_S)


async def admit(gateway: Bus, routed: CallRoute, **changed: str) -> CallBrief:
    shown = {"call_id": routed.call_id, "bot_id": routed.bot_id, "token": routed.token} | changed
    return await gateway.ask(CALL_ADMIT, AdmitStream(**shown), timeout_s=ASK_S)


async def reenter(gateway: Bus, routed: CallRoute) -> CallRoute:
    question = ReenterCall(call_id=routed.call_id, bot_id=routed.bot_id)
    return await gateway.ask(CALL_REENTER, question, timeout_s=ASK_S)


async def media_flows(gateway: Bus, brief: CallBrief) -> None:
    """As a gateway tells it, when the first frame of a stream has come."""
    event = CallEvent(
        event_id=f"{brief.call_id}.{brief.generation}.1",
        call_id=brief.call_id,
        bot_id=brief.bot_id,
        user_id=brief.user_id,
        at=datetime.now(UTC),
        fact=MediaFlowed(stream_token_id=brief.stream_token_id),
    )
    await gateway.remember(
        CALL_EVENT, event, message_id=event.event_id, timeout_s=ASK_S, call_id=brief.call_id
    )


async def refusal(asked: Any) -> str:
    with pytest.raises(Refused) as refused:
        await asked
    return refused.value.code


async def pause(gateway: Bus, bot_id: str, status: str = "paused") -> None:
    question = UpdateBot(credential=as_user(), bot_id=bot_id, changes=BotPatch(status=status))
    await gateway.ask(BOT_UPDATE, question, timeout_s=ASK_S)


async def delete(gateway: Bus, bot_id: str) -> None:
    await gateway.ask(BOT_DELETE, BotRef(credential=as_user(), bot_id=bot_id), timeout_s=ASK_S)


def routing_at(stores: Stores, settings: Settings, keys: KeyRing, clock: list[datetime]) -> Routing:
    accounts, tokens = Accounts(stores, settings), CallTokens(keys)
    return Routing(stores, accounts, tokens, every_voice_works, settings, lambda: clock[0])


async def test_a_call_is_routed_and_its_stream_admitted(gateway: Bus) -> None:
    bot = await new_bot(gateway, context="Open from 5.", hints=["Luigi"], transfer_to="+14155550111")
    call_id = new_call_id()
    routed = await route(gateway, bot.id, call_id, from_number="+14155550100", to_number="+14155550199")
    assert (routed.verdict, routed.bot_id, routed.call_id) == (RouteVerdict.CONNECT, bot.id, call_id)
    assert routed.signed_call.startswith(f"{call_id}.")
    brief = await admit(gateway, routed)
    assert (brief.call_id, brief.bot_id, brief.user_id, brief.generation) == (call_id, bot.id, "public", 1)
    assert (brief.from_number, brief.to_number) == ("+14155550100", "+14155550199")
    assert brief.stream_token_id and routed.token.startswith(brief.stream_token_id)
    assert bot.webhook_secret and bot.webhook_secret not in brief.sealed_webhook_secret
    same = {"goal", "context", "webhook", "voice", "greeting", "language", "transfer_to", "hints", "suggest"}
    assert brief.model_dump(include=same) == bot.model_dump(include=same)


async def test_the_same_question_gets_the_same_answer_even_at_once(gateway: Bus, database: Any) -> None:
    bot = await new_bot(gateway)
    call_id = new_call_id()
    answers = await asyncio.gather(*(route(gateway, bot.id, call_id) for _ in range(8)))
    await pause(gateway, bot.id)
    answers.append(await route(gateway, bot.id, call_id))
    assert len({answer.encode() for answer in answers}) == 1
    assert answers[0].verdict is RouteVerdict.CONNECT
    assert database["calls"].count_documents({"call_id": call_id, "schema_version": 2}) == 1
    assert database["bots"].find_one({"id": bot.id})["usage"]["calls"] == 1


async def test_a_call_without_an_id_gets_one(gateway: Bus) -> None:
    bot = await new_bot(gateway)
    one, two = await route(gateway, bot.id, None), await route(gateway, bot.id, None)
    assert re.fullmatch(r"CA[0-9a-f]{32}", one.call_id)
    assert one.call_id != two.call_id
    assert (await admit(gateway, one)).call_id == one.call_id


async def test_a_paused_bot_takes_no_call(gateway: Bus, database: Any) -> None:
    bot = await new_bot(gateway)
    await pause(gateway, bot.id)
    routed = await route(gateway, bot.id, new_call_id())
    assert routed.verdict is RouteVerdict.PAUSED
    assert await refusal(admit(gateway, routed)) == "invalid_token"
    record = database["calls"].find_one({"call_id": routed.call_id})
    assert (record["end_reason"], record["duration_ms"]) == ("paused", 0)
    assert record["ended_at"] == record["routed_at"]
    await pause(gateway, bot.id, "active")
    assert (await route(gateway, bot.id, routed.call_id)).verdict is RouteVerdict.PAUSED
    assert (await route(gateway, bot.id, new_call_id())).verdict is RouteVerdict.CONNECT


async def test_no_bot_and_an_unknown_bot_are_refused(gateway: Bus) -> None:
    assert await refusal(route(gateway, None, new_call_id())) == "invalid_bot"
    assert await refusal(route(gateway, None, new_call_id(), to_number="+19995550100")) == "invalid_bot"
    assert await refusal(route(gateway, "bot_nowhere", new_call_id())) == "bot_not_found"


async def test_a_call_belongs_to_one_bot_and_one_account(gateway: Bus) -> None:
    bot, other = await new_bot(gateway), await new_bot(gateway)
    call_id = new_call_id()
    await route(gateway, bot.id, call_id, account_sid="AC1")
    assert await refusal(route(gateway, other.id, call_id, account_sid="AC1")) == "conflict"
    assert await refusal(route(gateway, bot.id, call_id, account_sid="AC2")) == "bad_signature"


async def test_a_token_is_for_one_call_and_one_bot(gateway: Bus) -> None:
    bot, other = await new_bot(gateway), await new_bot(gateway)
    routed, another = (
        await route(gateway, bot.id, new_call_id()),
        await route(gateway, other.id, new_call_id()),
    )
    assert await refusal(admit(gateway, routed, bot_id=other.id)) == "invalid_token"
    assert await refusal(admit(gateway, routed, call_id=another.call_id)) == "invalid_token"
    for token in ("", "x", another.token, routed.token[:-1] + "!", routed.token + "x", routed.signed_call):
        assert await refusal(admit(gateway, routed, token=token)) == "invalid_token"


async def test_a_bot_deleted_meanwhile_takes_no_stream(gateway: Bus) -> None:
    bot = await new_bot(gateway)
    routed = await route(gateway, bot.id, new_call_id())
    await delete(gateway, bot.id)
    assert await refusal(admit(gateway, routed)) == "bot_not_found"
    assert await refusal(route(gateway, bot.id, routed.call_id)) == "bot_not_found"
    assert await refusal(reenter(gateway, routed)) == "bot_not_found"


async def test_generations_rise_by_one_whoever_asks(gateway: Bus) -> None:
    """Also: a second socket with the same token replaces the first, until media has flowed."""
    bot = await new_bot(gateway)
    routed = await route(gateway, bot.id, new_call_id())
    briefs = await asyncio.gather(*(admit(gateway, routed) for _ in range(6)))
    assert sorted(brief.generation for brief in briefs) == [1, 2, 3, 4, 5, 6]


async def test_a_token_is_spent_once_media_has_flowed(gateway: Bus, database: Any) -> None:
    bot = await new_bot(gateway)
    routed = await route(gateway, bot.id, new_call_id())
    brief = await admit(gateway, routed)
    await media_flows(gateway, brief)
    spent = {"call_id": routed.call_id, "spent_tokens": brief.stream_token_id}
    await eventually(lambda: database["calls"].find_one(spent))
    assert await refusal(admit(gateway, routed)) == "invalid_token"
    entered = await reenter(gateway, routed)
    assert (await admit(gateway, entered)).generation == 2


async def test_there_are_not_more_streams_than_epochs(gateway: Bus, database: Any) -> None:
    bot = await new_bot(gateway)
    routed = await route(gateway, bot.id, new_call_id())
    database["calls"].update_one({"call_id": routed.call_id}, {"$set": {"generation": MAX_GENERATION - 1}})
    assert (await admit(gateway, routed)).generation == MAX_GENERATION
    assert await refusal(admit(gateway, routed)) == "invalid_token"


async def test_a_live_call_is_reentered_and_an_ended_one_is_not(gateway: Bus, database: Any) -> None:
    bot = await new_bot(gateway)
    routed = await route(gateway, bot.id, new_call_id())
    await admit(gateway, routed)
    entered = await reenter(gateway, routed)
    assert entered.verdict is RouteVerdict.CONNECT
    assert entered.token != routed.token
    assert (await admit(gateway, entered)).generation == 2
    assert await refusal(reenter(gateway, routed.model_copy(update={"bot_id": "other"}))) == "call_not_found"
    unknown = routed.model_copy(update={"call_id": new_call_id()})
    assert await refusal(reenter(gateway, unknown)) == "call_not_found"
    database["calls"].update_one({"call_id": routed.call_id}, {"$set": {"ended_at": datetime.now(UTC)}})
    assert await refusal(reenter(gateway, routed)) == "call_over"
    assert await refusal(admit(gateway, entered)) == "invalid_token"


async def test_a_late_question_gets_a_token_that_can_still_be_used(
    gateway: Bus, stores: Stores, settings: Settings
) -> None:
    bot = await new_bot(gateway)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    clock = [began]
    routing = routing_at(stores, settings, KeyRing.random(), clock)
    question = RouteCall(request=UNSIGNED, bot_id=bot.id, call_id=new_call_id())
    first = await routing.route(question)
    clock[0] = began + RENEW_AFTER
    assert (await routing.route(question)).token == first.token
    clock[0] = began + RENEW_AFTER + timedelta(seconds=1)
    second = await routing.route(question)
    assert second.token != first.token
    clock[0] = began + VALID_FOR + timedelta(seconds=1)
    shown = {"call_id": first.call_id, "bot_id": bot.id}
    assert await refusal(routing.admit(AdmitStream(**shown, token=first.token))) == "invalid_token"
    assert (await routing.admit(AdmitStream(**shown, token=second.token))).generation == 1


async def test_another_replicas_renewal_is_taken_over(
    gateway: Bus, stores: Stores, settings: Settings
) -> None:
    bot = await new_bot(gateway)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    keys = KeyRing.random()
    question = RouteCall(request=UNSIGNED, bot_id=bot.id, call_id=new_call_id())
    await routing_at(stores, settings, keys, [began]).route(question)
    later = [began + RENEW_AFTER + timedelta(seconds=1 + n) for n in range(6)]
    replicas = [routing_at(stores, settings, keys, [at]) for at in later]
    answers = await asyncio.gather(*(replica.route(question) for replica in replicas))
    kept = await stores.calls.get(question.call_id or "")
    assert kept is not None
    assert {a.token for a in answers} == {CallTokens(keys).token(kept.call_id, bot.id, kept.token_issued_at)}
