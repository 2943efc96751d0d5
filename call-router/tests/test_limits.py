"""What is counted, by two replicas at once: bots of a user, calls of a bot a day, live calls of a user."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from callbot.call_router.app import answering
from callbot.call_router.bot_store import StoredBot
from callbot.call_router.instants import day_in, utc_now
from callbot.call_router.live_calls import LiveCalls
from callbot.call_router.mongo import open_database
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import Refused
from callbot.schemas.bots import Bot, BotDefinition, BotRef
from callbot.schemas.subjects import BOT_DELETE
from tests.servers import nats_server, url_for

from .conftest import ASK_S, as_user, eventually, new_bot, settings_with

DAY, NEXT_DAY = "2026-11-21", "2026-11-22"
CALLS_A_DAY = 100
AT_ONCE = 5


@pytest.fixture
async def two_routers(settings: Settings, tmp_path: Path) -> AsyncIterator[Bus]:
    """The gateway of a platform with two call-routers, each with a connection of its own to the database."""
    nats = nats_server(tmp_path)
    nats.start()
    theirs = settings_with(
        settings, nats_url=url_for("call-router", nats), mongo_database="limits", bots_per_user=10
    )
    async with AsyncExitStack() as stack:
        stack.callback(nats.kill)
        for _ in range(2):
            bus = await stack.enter_async_context(connect(theirs.nats_url, speaks_as="call-router"))
            opened = await stack.enter_async_context(open_database(theirs.mongo_url, theirs.mongo_database))
            readiness = await stack.enter_async_context(answering(bus, Stores(opened), theirs))
            await eventually(lambda readiness=readiness: all(readiness().values()))
        yield await stack.enter_async_context(connect(url_for("gateway", nats), speaks_as="gateway"))


@pytest.fixture
async def two_stores(settings: Settings, stores: Stores) -> AsyncIterator[tuple[Stores, Stores]]:
    async with open_database(settings.mongo_url, settings.mongo_database) as opened:
        yield stores, Stores(opened)


async def stored_bot(stores: Stores, bot_id: str) -> StoredBot:
    fields = BotDefinition(goal="x", webhook="https://example.com").model_dump(exclude={"webhook_secret"})
    bot = StoredBot(id=bot_id, user_id=bot_id, created_at=utc_now(), sealed_webhook_secret="x", **fields)
    await stores.bots.add(bot, 1)
    return bot


async def calls_on(stores: Stores, bot_id: str, day: str) -> int:
    bot = await stores.bots.get(bot_id)
    assert bot is not None
    return bot.calls_on(day)


async def test_of_twenty_bots_at_once_ten_are_made(two_routers: Bus) -> None:
    answers: list[Any] = await asyncio.gather(
        *(new_bot(two_routers, "many") for _ in range(20)), return_exceptions=True
    )
    made = [bot for bot in answers if isinstance(bot, Bot)]
    assert len({bot.id for bot in made}) == 10
    limits = [bot.rate_limit for bot in made if bot.rate_limit]
    assert sorted(limit.remaining for limit in limits) == list(range(10))
    assert {(limit.limit, limit.reset_s) for limit in limits} == {(10, 0)}
    for refused in (one for one in answers if one not in made):
        assert isinstance(refused, Refused)
        assert refused.code == "bot_limit"
        assert refused.details == {"limit": "10", "remaining": "0", "reset_s": "0", "retry_after_s": "60"}
    assert (await new_bot(two_routers, "another")).rate_limit is not None

    gone = BotRef(credential=as_user("many"), bot_id=made[3].id)
    await two_routers.ask(BOT_DELETE, gone, timeout_s=ASK_S)
    again = await new_bot(two_routers, "many")
    assert again.rate_limit and again.rate_limit.remaining == 0
    with pytest.raises(Refused, match="bot_limit"):
        await new_bot(two_routers, "many")


async def test_a_limit_that_was_lowered_holds_for_new_bots(stores: Stores) -> None:
    fields = BotDefinition(goal="x", webhook="https://example.com").model_dump(exclude={"webhook_secret"})
    bots = [
        StoredBot(id=f"low{n}", user_id="low", created_at=utc_now(), sealed_webhook_secret="x", **fields)
        for n in range(4)
    ]
    assert [await stores.bots.add(bot, 3) for bot in bots[:3]] == [2, 1, 0]
    assert await stores.bots.remove("low", "low0")
    # Two are left, in the second and third place: the first place is free, but two are all that is allowed.
    assert await stores.bots.add(bots[3], 2) is None
    assert await stores.bots.add(bots[3], 3) == 0


async def test_of_150_calls_at_once_a_hundred_are_taken(two_stores: tuple[Stores, Stores]) -> None:
    await stored_bot(two_stores[0], "busy")
    for day in (DAY, NEXT_DAY):
        # The last of one day and the first of the next one come at once, too.
        asked = [two_stores[n % 2].bots.take_call("busy", day, CALLS_A_DAY) for n in range(150)]
        assert sum(await asyncio.gather(*asked)) == CALLS_A_DAY
        assert await calls_on(two_stores[1], "busy", day) == CALLS_A_DAY
    assert not await two_stores[0].bots.take_call("nobody", DAY, CALLS_A_DAY)


async def test_a_day_does_not_begin_twice(stores: Stores) -> None:
    """As with an owner who moves to another time zone and back, or replicas whose clocks differ."""
    await stored_bot(stores, "traveller")
    for day in (DAY, NEXT_DAY, DAY, NEXT_DAY, DAY):
        await stores.bots.take_call("traveller", day, 3)
    assert await calls_on(stores, "traveller", NEXT_DAY) == 3
    assert await calls_on(stores, "traveller", DAY) == 3
    assert not await stores.bots.take_call("traveller", DAY, 3)
    assert await calls_on(stores, "traveller", "2026-11-23") == 0


async def test_a_call_that_is_given_back_can_be_taken_again(stores: Stores) -> None:
    await stored_bot(stores, "giver")
    assert await stores.bots.take_call("giver", DAY, 1)
    assert not await stores.bots.take_call("giver", DAY, 1)
    await stores.bots.give_back_call("giver", NEXT_DAY)
    assert not await stores.bots.take_call("giver", DAY, 1)
    for _ in range(2):
        await stores.bots.give_back_call("giver", DAY)
    assert await calls_on(stores, "giver", DAY) == 0
    assert await stores.bots.take_call("giver", DAY, 1)


@pytest.mark.parametrize(
    ("timezone", "day"),
    [
        ("UTC", DAY),
        ("Europe/Berlin", NEXT_DAY),
        ("America/New_York", DAY),
        ("No/where", DAY),
        ("../etc", DAY),
    ],
)
def test_a_day_is_that_of_a_time_zone(timezone: str, day: str) -> None:
    at = utc_now().replace(year=2026, month=11, day=21, hour=23, minute=30)
    assert day_in(timezone, at) == day


async def test_no_more_calls_at_once_than_allowed(two_stores: tuple[Stores, Stores]) -> None:
    until = utc_now() + timedelta(minutes=2)
    asked = [two_stores[n % 2].live_calls.take("crowd", f"CA{n % 20}", until, AT_ONCE) for n in range(40)]
    answers = await asyncio.gather(*asked)
    seated = [n for n in range(20) if answers[n] or answers[n + 20]]
    assert len(seated) == AT_ONCE
    live = two_stores[0].live_calls
    # Who has a seat keeps it, however often Twilio asks.
    assert [await live.take("crowd", f"CA{n}", until, AT_ONCE) for n in range(20)] == [
        n in seated for n in range(20)
    ]
    assert await live.take("somebody else", "CA0", until, AT_ONCE)
    await live.free("crowd", f"CA{seated[0]}")
    assert await live.take("crowd", "CAnew", until, AT_ONCE)
    assert not await live.take("crowd", "CAnewer", until, AT_ONCE)


async def test_a_call_has_one_seat_however_often_it_is_asked_for(stores: Stores) -> None:
    until = utc_now() + timedelta(minutes=2)
    for call_id, taken in (("CA1", True), ("CA1", True), ("CA2", True), ("CA3", False), ("CA1", True)):
        assert await stores.live_calls.take("repeater", call_id, until, 2) is taken
    for _ in range(2):
        await stores.live_calls.free("repeater", "CA1")
    assert await stores.live_calls.take("repeater", "CA3", until, 2)
    assert not await stores.live_calls.take("repeater", "CA1", until, 2)


async def test_a_seat_that_nobody_frees_is_free_when_its_time_is_over(
    settings: Settings, stores: Stores
) -> None:
    live = stores.live_calls
    now = utc_now()
    assert await live.take("late", "CA1", now + timedelta(minutes=2), 2)
    assert await live.take("late", "CA2", now + timedelta(minutes=2), 2)
    await live.extend("late", "CA2", now + timedelta(minutes=10))
    await live.extend("late", "CA3", now + timedelta(minutes=10))
    async with open_database(settings.mongo_url, settings.mongo_database) as opened:
        later = LiveCalls(opened, now=lambda: now + timedelta(minutes=3))
        until = now + timedelta(minutes=20)
        assert await later.take("late", "CA4", until, 2)
        assert not await later.take("late", "CA5", until, 2)
        assert await later.take("late", "CA2", until, 2)
