"""How many calls are taken, in a day and at once, when several replicas route them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callbot.call_router.accounts import Accounts
from callbot.call_router.mongo import open_database
from callbot.call_router.routing import Routing
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.call_router.tokens import CallTokens
from callbot.runtime.errors import Refused
from callbot.schemas.calls import AdmitStream, CallRoute, RouteCall, RouteVerdict

from .conftest import every_voice_works, settings_with
from .customers import KEYS, Customer
from .test_routing import UNSIGNED, new_call_id

CONNECT, BUSY, DAILY_LIMIT = RouteVerdict.CONNECT, RouteVerdict.BUSY, RouteVerdict.DAILY_LIMIT
# Far ahead of the clock on the wall: a seat is given up when its time is over there.
NOON = datetime(2056, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
async def two_stores(settings: Settings, stores: Stores) -> AsyncIterator[tuple[Stores, Stores]]:
    async with open_database(settings.mongo_url, settings.mongo_database) as opened:
        yield stores, Stores(opened)


class Replicas:
    """Two of them, whose clock is ours, asked in turn."""

    def __init__(self, stores: tuple[Stores, Stores], settings: Settings) -> None:
        self.now = NOON
        self._routings = [
            Routing(
                one, Accounts(one, settings), CallTokens(KEYS), every_voice_works, settings, lambda: self.now
            )
            for one in stores
        ]

    async def route(self, bot_id: str, call_id: str = "", turn: int = 0) -> CallRoute:
        question = RouteCall(request=UNSIGNED, bot_id=bot_id, call_id=call_id or new_call_id())
        return await self._routings[turn % 2].route(question)

    async def verdict(self, bot_id: str, call_id: str = "") -> RouteVerdict:
        return (await self.route(bot_id, call_id)).verdict

    async def admit(self, routed: CallRoute) -> None:
        shown = AdmitStream(call_id=routed.call_id, bot_id=routed.bot_id, token=routed.token)
        await self._routings[0].admit(shown)


@pytest.fixture
async def alice(stores: Stores, settings: Settings) -> Customer:
    return await Customer(stores, settings).signs_up(connected=False)


async def seats(stores: Stores, user_id: str) -> set[str]:
    found = await stores.live_calls._live.one({"user_id": user_id})
    return {call["call_id"] for call in found["live"]} if found else set()


async def test_of_150_calls_at_once_a_hundred_are_connected(
    two_stores: tuple[Stores, Stores], settings: Settings, alice: Customer
) -> None:
    replicas = Replicas(two_stores, settings_with(settings, calls_per_bot_a_day=100, calls_at_once=200))
    bot = await alice.makes_bot()
    answers = await asyncio.gather(*(replicas.route(bot, turn=n) for n in range(150)))
    assert Counter(answer.verdict for answer in answers) == {CONNECT: 100, DAILY_LIMIT: 50}
    connected = {answer.call_id for answer in answers if answer.verdict is CONNECT}
    assert await seats(alice.stores, alice.user_id) == connected
    again = await asyncio.gather(*(replicas.route(bot, one.call_id, n) for n, one in enumerate(answers)))
    assert again == answers
    found = await alice.stores.bots.get(bot)
    assert found is not None and found.usage.calls == 100


async def test_one_call_counts_once_however_often_it_is_asked_for_at_once(
    two_stores: tuple[Stores, Stores], settings: Settings, alice: Customer
) -> None:
    replicas = Replicas(two_stores, settings)
    bot, call_id = await alice.makes_bot(), new_call_id()
    answers = await asyncio.gather(*(replicas.route(bot, call_id, n) for n in range(12)))
    assert {answer.encode() for answer in answers} == {answers[0].encode()}
    assert answers[0].verdict is CONNECT
    found = await alice.stores.bots.get(bot)
    assert found is not None and found.usage.calls == 1
    assert await seats(alice.stores, alice.user_id) == {call_id}


async def test_a_day_is_the_users(
    two_stores: tuple[Stores, Stores], settings: Settings, alice: Customer
) -> None:
    """In Auckland the 22nd begins at 11:00 UTC of the 21st."""
    replicas = Replicas(two_stores, settings_with(settings, calls_per_bot_a_day=1))
    await alice.stores.users.set_timezone(alice.user_id, "Pacific/Auckland")
    bot = await alice.makes_bot()
    replicas.now = NOON - timedelta(hours=1, milliseconds=1)
    assert [await replicas.verdict(bot), await replicas.verdict(bot)] == [CONNECT, DAILY_LIMIT]
    replicas.now += timedelta(milliseconds=1)
    assert [await replicas.verdict(bot), await replicas.verdict(bot)] == [CONNECT, DAILY_LIMIT]


async def test_calls_at_once_are_counted_for_the_user_and_cost_no_call_of_the_day(
    two_stores: tuple[Stores, Stores], settings: Settings, alice: Customer
) -> None:
    replicas = Replicas(two_stores, settings_with(settings, calls_at_once=3, calls_per_bot_a_day=3))
    first, second = await alice.makes_bot(), await alice.makes_bot()
    answers = await asyncio.gather(*(replicas.route((first, second)[n % 2], turn=n) for n in range(12)))
    assert Counter(answer.verdict for answer in answers) == {CONNECT: 3, BUSY: 9}
    refused = next(answer for answer in answers if answer.verdict is BUSY)
    assert await replicas.route(refused.bot_id, refused.call_id) == refused
    used = [await alice.stores.bots.get(bot) for bot in (first, second)]
    assert sum(bot.usage.calls for bot in used if bot) == 3


async def test_a_seat_is_free_again_when_the_call_is_over_or_never_began(
    two_stores: tuple[Stores, Stores], settings: Settings, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicas = Replicas(two_stores, settings_with(settings, calls_at_once=1))
    for one in two_stores:
        monkeypatch.setattr(one.live_calls, "_now", lambda: replicas.now)
    bot = await alice.makes_bot()
    began = await replicas.route(bot)
    await replicas.admit(began)
    replicas.now += timedelta(seconds=600 + 5 * 60 - 1)
    assert await replicas.verdict(bot) is BUSY
    replicas.now += timedelta(seconds=1)
    unheard = await replicas.route(bot)
    assert unheard.verdict is CONNECT
    replicas.now += timedelta(minutes=2, milliseconds=-1)
    assert await replicas.verdict(bot) is BUSY
    replicas.now += timedelta(milliseconds=1)
    assert await replicas.verdict(bot) is CONNECT


async def test_a_call_that_waited_too_long_begins_only_where_there_is_room(
    two_stores: tuple[Stores, Stores], settings: Settings, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token can be renewed for as long as somebody asks; its place is free by then."""
    replicas = Replicas(two_stores, settings_with(settings, calls_at_once=1))
    for one in two_stores:
        monkeypatch.setattr(one.live_calls, "_now", lambda: replicas.now)
    bot, early = await alice.makes_bot(), new_call_id()
    await replicas.route(bot, early)
    replicas.now += timedelta(minutes=2)
    second = await replicas.route(bot)
    await replicas.admit(second)
    with pytest.raises(Refused, match="busy"):
        await replicas.admit(await replicas.route(bot, early))
    assert await seats(alice.stores, alice.user_id) == {second.call_id}
    await alice.stores.live_calls.free(alice.user_id, second.call_id)
    await replicas.admit(await replicas.route(bot, early))
    assert await seats(alice.stores, alice.user_id) == {early}


async def test_what_is_refused_keeps_no_seat(
    two_stores: tuple[Stores, Stores], settings: Settings, alice: Customer, database: Any
) -> None:
    replicas = Replicas(two_stores, settings_with(settings, calls_per_bot_a_day=1, calls_at_once=1))
    bot, other = await alice.makes_bot(), await alice.makes_bot()
    routed = await replicas.route(bot)
    await alice.stores.live_calls.free(alice.user_id, routed.call_id)
    refused = await replicas.route(bot)
    assert refused.verdict is DAILY_LIMIT
    assert await seats(alice.stores, alice.user_id) == set()
    record = database["calls"].find_one({"call_id": refused.call_id})
    assert (record["end_reason"], record["ended_at"]) == ("daily_limit", NOON)
    assert await replicas.verdict(other) is CONNECT
