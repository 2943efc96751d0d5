"""Whatever fails while a number is connected or disconnected: it is ours, or as it was."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from callbot.call_router import twilio_api
from callbot.call_router.database import StoreUnavailable
from callbot.call_router.settings import Settings

from .test_numbers import IVR, OURS, a_number, connect, disconnect, mine, refusal, shown
from .twilio_world import Killed, World, open_world

BAD_DAYS = ["429", "500", "400", "cut", "garbage", "hang", "lost", "late"]


@pytest.fixture(scope="module")
async def module_world(settings: Settings) -> AsyncIterator[World]:
    async with open_world(settings, "numbers_failures") as world:
        yield world


@pytest.fixture
async def world(module_world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    module_world.begins(monkeypatch)
    yield module_world
    await module_world.is_emptied()


@pytest.mark.parametrize("day", BAD_DAYS)
@pytest.mark.parametrize("what", ["fetch", "update"])
async def test_twilio_fails_at_connecting(world: World, what: str, day: str) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account)
    world.rest.has(what, day, always=True)
    assert await refusal(connect(world, user_id, account, number)) == "twilio_unavailable"
    assert await refusal(mine(world, user_id)) == "no_number"
    world.rest.is_well()
    world.rest.let_go.set()
    await asyncio.sleep(0.05)
    await world.later(1)
    assert shown(number) == IVR
    await world.is_clean()


@pytest.mark.parametrize("day", ["lost", "late", "cut"])
async def test_connecting_again_after_a_failure_knows_what_was_there(world: World, day: str) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account)
    world.rest.has("update", day, always=True)
    assert await refusal(connect(world, user_id, account, number)) == "twilio_unavailable"
    world.rest.is_well()
    world.rest.let_go.set()
    await connect(world, user_id, account, number)
    await world.later(61)
    assert shown(number) == OURS
    await disconnect(world, user_id)
    assert shown(number) == IVR


async def test_a_failed_change_leaves_the_number_of_before(world: World) -> None:
    user_id, account = await world.user(), world.rest.account()
    first, second = a_number(account), a_number(account)
    await connect(world, user_id, account, first)
    world.rest.has("update", "lost", "lost", "lost")
    assert await refusal(connect(world, user_id, account, second)) == "twilio_unavailable"
    await world.later(61)
    assert (await mine(world, user_id)).phone_number == first["phone_number"]
    assert shown(first) == OURS and shown(second) == IVR


@pytest.mark.parametrize("day", BAD_DAYS)
@pytest.mark.parametrize("what", ["fetch", "update"])
async def test_twilio_fails_at_disconnecting(world: World, what: str, day: str) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account)
    await connect(world, user_id, account, number)
    world.rest.has(what, day, always=True)
    assert await refusal(disconnect(world, user_id)) == "twilio_unavailable"
    assert (await mine(world, user_id)).phone_number == number["phone_number"]
    world.rest.is_well()
    world.rest.let_go.set()
    await asyncio.sleep(0.05)
    await disconnect(world, user_id)
    assert shown(number) == IVR
    await world.is_clean()


@pytest.mark.parametrize("day", ["401", "404"])
async def test_disconnecting_what_is_out_of_reach_for_good(world: World, day: str) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account)
    await connect(world, user_id, account, number)
    world.rest.has("fetch", day, always=True)
    await disconnect(world, user_id)
    assert await refusal(mine(world, user_id)) == "no_number"
    await world.is_clean()


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("before", [False, True])
async def test_the_database_fails_or_the_process_dies_at_each_step(
    world: World, before: bool, killed: bool
) -> None:
    """Also with a number connected before: one of them is connected and set then, the other put back."""
    steps = 0
    for step in range(30):
        user_id, account = await world.user(), world.rest.account()
        old, new = a_number(account), a_number(account)
        if before:
            await connect(world, user_id, account, old)
        world.database.is_well()

        def failing(n: int, step: int = step) -> bool:
            if killed and n >= step:
                raise Killed
            return n == step

        world.database.refuses = failing
        done = False
        try:
            await connect(world, user_id, account, new)
            done = True
        except (StoreUnavailable, Killed):
            steps += 1
        passed_all = world.database.operations <= step
        world.database.is_well()
        await world.later(61)
        await world.is_clean()
        user = await world.stores.users.get(user_id)
        has = user.number.phone_number_sid if user and user.number else None
        assert has == new["sid"] if done else has in (new["sid"], old["sid"] if before else None)
        for number in (old, new):
            assert shown(number) == (OURS if number["sid"] == has else IVR)
            assert (
                user is None or user.number is None or user.number.before.get("VoiceUrl") == IVR["voice_url"]
            )
        if passed_all:
            break
    assert passed_all and steps >= 5


async def test_when_twilio_hangs_there_is_an_answer_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio_api, "REQUEST_S", 3.0)
    user_id, other_id, account = await world.user(), await world.user(), world.rest.account()
    await connect(world, user_id, account, a_number(account))
    world.rest.has("fetch", "hang", always=True)
    began_s = time.monotonic()
    codes = await asyncio.gather(
        refusal(disconnect(world, user_id)), refusal(connect(world, other_id, account, a_number(account)))
    )
    assert codes == ["twilio_unavailable"] * 2
    assert time.monotonic() - began_s < 9
