"""Numbers bought for bots: whatever fails, and wherever a process dies, nothing is left bought."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from callbot.call_router import purchases as purchases_module
from callbot.call_router.accounts import CalledNumber
from callbot.call_router.purchase_store import PurchaseState
from callbot.call_router.settings import Settings
from callbot.runtime.errors import Refused

from .conftest import settings_with
from .twilio_world import PUBLIC_URL, World, asks_to_connect, created, open_world


@pytest.fixture(scope="module")
async def module_world(settings: Settings) -> AsyncIterator[World]:
    async with open_world(settings, "purchases") as world:
        yield world


@pytest.fixture
async def world(module_world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    module_world.begins(monkeypatch)
    yield module_world
    await module_world.is_emptied()


async def test_a_bot_gets_a_number_and_gives_it_back(world: World) -> None:
    bot = await world.bot(await world.user())
    number = await created(world, bot)
    assert number is not None
    (bought,) = world.platform.numbers.values()
    assert bought["phone_number"] == number
    assert bought["friendly_name"] == f"callbot {bot.id}"
    assert bought["voice_url"] == f"{PUBLIC_URL}/v1/voice"
    assert bought["voice_fallback_url"] == f"{PUBLIC_URL}/v1/voice/fallback"
    assert bought["status_callback"] == f"{PUBLIC_URL}/v1/voice/status"
    stored = await world.stores.bots.get(bot.id)
    assert stored is not None and stored.number == number and stored.version == 1
    await world.later(2 * 3600)
    assert len(world.platform.numbers) == 1, "the sweeper leaves alone what a bot has"
    await world.purchases.release(bot.id)
    await world.stores.bots.remove(bot.user_id, bot.id)
    await world.is_clean()
    await world.purchases.release(bot.id)


async def test_no_account_no_number(world: World) -> None:
    bot = await world.bot(await world.user())
    nothing = {"twilio_account_sid": "", "twilio_auth_token": type(world.settings.twilio_auth_token)("")}
    world_without = World(
        world.rest,
        world.twilio,
        world.database,
        world.stores,
        settings_with(world.settings, **nothing),
        world.platform,
    )
    assert await world_without.purchases.buy(bot.id, bot.user_id) is None
    await world_without.purchases.release(bot.id)
    await world_without.purchases.settle()
    assert world.rest.asked == []


async def test_who_has_a_number_connected_needs_none(world: World) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = account.owns("+12125550100")
    await world.numbers.connect(user_id, asks_to_connect(account, number["sid"]))
    bot = await world.bot(user_id)
    assert await world.purchases.buy(bot.id, user_id) is None
    assert world.rest.of("buy") == []


async def test_a_number_that_somebody_else_took_is_followed_by_the_next(world: World) -> None:
    bot = await world.bot(await world.user())
    world.rest.has("buy", "taken", "taken")
    second, third = world.rest.stock[1:3]
    assert await created(world, bot) == third != second
    assert len(world.platform.numbers) == 1


async def test_bots_made_and_deleted_again_do_not_buy_without_end(world: World) -> None:
    """Each number costs its operator a month, however soon it is given back."""
    few = settings_with(world.settings, bots_per_user=2)
    world = replace(world, settings=few)
    user_id = await world.user()
    limit = 2 * purchases_module.NUMBERS_A_DAY_FOR_A_PLACE
    for _ in range(limit):
        bot = await world.bot(user_id)
        await created(world, bot)
        await world.purchases.release(bot.id)
        await world.stores.bots.remove(user_id, bot.id)
    with pytest.raises(Refused) as refused:
        await created(world, await world.bot(user_id))
    told = refused.value.details
    assert refused.value.code == "bot_limit"
    assert (told["limit"], told["remaining"]) == (str(limit), "0")
    assert 0 < int(told["retry_after_s"]) <= 24 * 3600
    assert len(world.rest.of("buy")) == limit
    await world.is_clean()
    await created(world, await world.bot(await world.user()))
    world.passed += timedelta(days=1)
    assert await created(world, await world.bot(user_id)) is not None


async def test_a_purchase_that_came_to_nothing_is_not_counted(world: World) -> None:
    user_id = await world.user()
    world = replace(world, settings=settings_with(world.settings, bots_per_user=1))
    for failure in ("taken", "400", "503") * purchases_module.NUMBERS_A_DAY_FOR_A_PLACE:
        world.rest.has("search" if failure == "503" else "buy", failure, always=True)
        with pytest.raises(Refused) as refused:
            await created(world, await world.bot(user_id))
        assert refused.value.code != "bot_limit"
        world.rest.is_well()
    assert await created(world, await world.bot(user_id)) is not None


@pytest.mark.parametrize("stock", [[], None])
async def test_nothing_to_buy(world: World, stock: list[str] | None) -> None:
    bot = await world.bot(await world.user())
    before = world.rest.stock
    if stock is None:
        world.rest.has("buy", "taken", always=True)
    else:
        world.rest.stock = stock
    with pytest.raises(Refused) as refused:
        await created(world, bot)
    world.rest.stock = before
    assert refused.value.code == "no_number_available"
    await world.is_clean()


async def test_a_number_whose_bot_is_gone_is_found(world: World) -> None:
    """Not by our doing: somebody restored an old backup, or deleted by hand."""
    bot = await world.bot(await world.user())
    await created(world, bot)
    await world.stores.bots.remove(bot.user_id, bot.id)
    await world.later(3601)
    assert len(world.rest.of("release")) == 1
    await world.is_clean()


async def test_several_sweepers_at_once(world: World) -> None:
    bots = [await world.bot(await world.user()) for _ in range(5)]
    world.rest.has("release", "500", always=True)
    for bot in bots:
        await created(world, bot)
        await world.purchases.release(bot.id)
    assert len(world.platform.numbers) == 5
    world.rest.is_well()
    world.rest.asked.clear()
    world.passed += purchases_module.SETTLED_AFTER
    await asyncio.gather(*(world.purchases.settle() for _ in range(6)))
    await world.is_clean()
    assert len(world.rest.of("release")) == 5


async def test_only_its_own_number_is_released(world: World) -> None:
    """The account has other numbers, and Twilio's filter may one day match more than the name."""
    world.rest.ignores_filters = True
    other = world.platform.owns("+12125550177", friendly_name="Reception")
    bot = await world.bot(await world.user())
    world.rest.has("buy", "lost")
    with pytest.raises(Refused):
        await created(world, bot)
    await world.later(61)
    world.rest.ignores_filters = False
    assert list(world.platform.numbers) == [other["sid"]]


async def test_a_number_of_another_account_is_not_forgotten(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator has changed accounts: this one cannot release what that one bought."""
    bot = await world.bot(await world.user())
    await created(world, bot)
    other = world.rest.account()
    settings = settings_with(world.settings, twilio_account_sid=other.sid)
    elsewhere = World(world.rest, world.twilio, world.database, world.stores, settings, other)
    with caplog.at_level(logging.WARNING):
        await elsewhere.purchases.release(bot.id)
    assert "cannot be given back" in caplog.text
    purchase = await world.stores.purchases.get(bot.id)
    assert purchase is not None and purchase.state is PurchaseState.RELEASING
    await world.later(61)
    await world.is_clean()


async def test_who_a_bought_number_belongs_to(world: World) -> None:
    user_id = await world.user()
    bot = await world.bot(user_id)
    number = await created(world, bot)
    assert number is not None
    stored = await world.stores.bots.get(bot.id)
    assert stored is not None
    assert await world.accounts.bot_or_owner_for_number(number) == CalledNumber(user_id, bot.id)
    assert await world.accounts.token_for_number(number) == world.platform.token
    assert await world.accounts.token_for_bot(stored) == world.platform.token
    assert await world.accounts.tokens_for_bot(stored) == [world.platform.token]
    await world.purchases.release(bot.id)
    assert await world.accounts.bot_or_owner_for_number(number) is None
    assert await world.accounts.token_for_number(number) is None
