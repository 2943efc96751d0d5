"""Whatever fails while a number is bought, and wherever a process dies: nothing is left bought."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from callbot.call_router import twilio_api
from callbot.call_router.database import StoreUnavailable
from callbot.call_router.settings import Settings
from callbot.runtime.errors import Refused

from .twilio_world import Killed, World, created, open_world

BAD_DAYS = [
    "401",
    "404",
    "400",
    "429",
    "429 1",
    "500",
    "cut",
    "garbage",
    "stall",
    "hang",
    "lost",
    "late",
    "huge",
]


@pytest.fixture(scope="module")
async def module_world(settings: Settings) -> AsyncIterator[World]:
    async with open_world(settings, "purchases_failures") as world:
        yield world


@pytest.fixture
async def world(module_world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    module_world.begins(monkeypatch)
    yield module_world
    await module_world.is_emptied()


@pytest.mark.parametrize("day", BAD_DAYS)
@pytest.mark.parametrize("what", ["search", "buy"])
async def test_twilio_fails(world: World, what: str, day: str) -> None:
    """The platform's trouble is nobody's fault who creates a bot: 503, also for 401 and 404."""
    bot = await world.bot(await world.user())
    world.rest.has(what, day, always=True)
    with pytest.raises(Refused) as refused:
        await created(world, bot)
    assert refused.value.code == "twilio_unavailable"
    assert len(world.rest.of("buy")) == (what == "buy")
    world.rest.is_well()
    # A request that Twilio is slow with is done after all, when nobody waits for it any more.
    world.rest.let_go.set()
    await asyncio.sleep(0.05)
    await world.later(61)
    await world.is_clean()


@pytest.mark.parametrize("day", [day for day in BAD_DAYS if day != "404"])
async def test_twilio_fails_at_the_release(world: World, day: str) -> None:
    bot = await world.bot(await world.user())
    await created(world, bot)
    world.rest.has("release", day, always=True)
    await world.purchases.release(bot.id)
    await world.stores.bots.remove(bot.user_id, bot.id)
    await world.later(61)
    assert world.rest.of("release")
    world.rest.is_well()
    world.rest.let_go.set()
    await world.later(61)
    await world.is_clean()


@pytest.mark.parametrize("done_all_the_same", [False, True])
@pytest.mark.parametrize("for_ever", [False, True])
async def test_the_database_fails_at_each_step(world: World, done_all_the_same: bool, for_ever: bool) -> None:
    """At the first operation, at the second, …; for that one, or until the sweeper comes by."""
    world.database.done_all_the_same = done_all_the_same
    failures = 0
    while True:
        bot = await world.bot(await world.user())
        world.database.is_well()
        failing = failures
        world.database.refuses = lambda n, f=failing: n >= f if for_ever else n == f
        try:
            number = await created(world, bot)
        except StoreUnavailable:
            number = None
        world.database.is_well()
        await world.later(61)
        left = await world.stores.bots.get(bot.id)
        bought = [n["phone_number"] for n in world.platform.numbers.values()]
        if left is None:
            await world.is_clean()
        else:
            # It could not be removed: then what it shows is what there is.
            assert bought == ([left.number] if left.number else [])
            await world.purchases.release(bot.id)
            await world.stores.bots.remove(bot.user_id, bot.id)
        await world.later(61)
        await world.is_clean()
        if number is not None:
            break
        failures += 1
    assert failures >= 4


async def test_the_process_is_killed_at_each_step(world: World) -> None:
    """No line of ours runs after that: nothing is undone, and what reaches Twilio is done."""
    survived = False
    for step in range(20):
        bot = await world.bot(await world.user())
        world.database.is_well()

        def killing(n: int, step: int = step) -> bool:
            if n >= step:
                raise Killed
            return False

        world.database.refuses = killing
        try:
            await world.purchases.buy(bot.id, bot.user_id)
            survived = True
        except Killed:
            survived = False
        world.database.is_well()
        await world.later(61)
        left = await world.stores.bots.get(bot.id)
        assert left is not None
        assert [n["phone_number"] for n in world.platform.numbers.values()] == (
            [left.number] if left.number else []
        )
        await world.purchases.release(bot.id)
        await world.stores.bots.remove(bot.user_id, bot.id)
        await world.is_clean()
        if survived:
            break
    assert survived and step >= 4


async def test_a_purchase_under_way_is_left_alone(world: World) -> None:
    bot = await world.bot(await world.user())
    world.rest.has("buy", "slow")
    twilio_api.REQUEST_S = 3.0
    buying = asyncio.create_task(created(world, bot))
    await world.rest.reached["buy"].wait()
    await world.later(30)
    assert world.rest.of("list") == []
    world.rest.let_go.set()
    assert await buying is not None
    assert len(world.platform.numbers) == 1


async def test_a_bot_that_is_deleted_while_its_number_is_bought(world: World) -> None:
    bot = await world.bot(await world.user())
    world.rest.has("buy", "slow")
    twilio_api.REQUEST_S = 3.0
    buying = asyncio.create_task(created(world, bot))
    await world.rest.reached["buy"].wait()
    await world.purchases.release(bot.id)
    await world.stores.bots.remove(bot.user_id, bot.id)
    world.rest.let_go.set()
    with pytest.raises(Refused):
        await buying
    assert world.platform.numbers == {}
    await world.later(61)
    await world.is_clean()


async def test_a_process_that_slept_through_the_sweep_gives_back_what_it_buys(world: World) -> None:
    bot = await world.bot(await world.user())
    world.rest.has("buy", "slow")
    twilio_api.REQUEST_S = 3.0
    buying = asyncio.create_task(created(world, bot))
    await world.rest.reached["buy"].wait()
    await world.later(61)
    assert await world.stores.purchases.get(bot.id) is None
    world.rest.let_go.set()
    with pytest.raises(Refused):
        await buying
    await world.is_clean()


async def test_when_twilio_hangs_there_is_an_answer_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio_api, "REQUEST_S", 3.0)
    searching, buying, deleting = [await world.bot(await world.user()) for _ in range(3)]
    await created(world, deleting)
    for what in ("search", "release"):
        world.rest.has(what, "hang", always=True)
    began_s = time.monotonic()
    release = world.purchases.release(deleting.id)
    found = await asyncio.gather(created(world, searching), release, return_exceptions=True)
    assert time.monotonic() - began_s < 9
    assert isinstance(found[0], Refused) and found[0].code == "twilio_unavailable" and found[1] is None
    world.rest.is_well()
    world.rest.has("buy", "hang")
    began_s = time.monotonic()
    with pytest.raises(Refused):
        await created(world, buying)
    assert time.monotonic() - began_s < 4 and len(world.rest.of("buy")) == 2
    await world.stores.bots.remove(deleting.user_id, deleting.id)
    await world.later(61)
    await world.is_clean()
