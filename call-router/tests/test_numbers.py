"""A user's own Twilio number: connected, shown, disconnected; what it was before comes back."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callbot.call_router import twilio_api
from callbot.call_router.accounts import Accounts, CalledNumber
from callbot.call_router.settings import Settings
from callbot.runtime.errors import Refused
from callbot.schemas.numbers import Connected, DisconnectNumber, GetNumber, MyNumber
from tests.vendors.twilio_rest import NUMBERS_OF_TESTS, SETTABLE, Account

from .conftest import settings_with
from .twilio_world import NOBODY, PUBLIC_URL, World, asks_to_connect, open_world

IVR = {
    "voice_url": "https://theirs.example/ivr",
    "voice_method": "GET",
    "voice_fallback_url": "https://theirs.example/sorry",
    "voice_fallback_method": "GET",
    "status_callback": "https://theirs.example/done",
    "status_callback_method": "GET",
}
OURS = {
    "voice_url": f"{PUBLIC_URL}/v1/voice",
    "voice_method": "POST",
    "voice_fallback_url": f"{PUBLIC_URL}/v1/voice/fallback",
    "voice_fallback_method": "POST",
    "status_callback": f"{PUBLIC_URL}/v1/voice/status",
    "status_callback_method": "POST",
}


@pytest.fixture(scope="module")
async def module_world(settings: Settings) -> AsyncIterator[World]:
    async with open_world(settings, "numbers") as world:
        yield world


@pytest.fixture
async def world(module_world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    module_world.begins(monkeypatch)
    yield module_world
    await module_world.is_emptied()


def a_number(account: Account, **settings: str) -> dict[str, Any]:
    return account.owns(next(NUMBERS_OF_TESTS), **{**IVR, **settings})


def shown(number: dict[str, Any]) -> dict[str, Any]:
    return {name: number[name] for name in SETTABLE.values() if name != "friendly_name" and number[name]}


async def connect(world: World, user_id: str, account: Account, number: dict[str, Any]) -> Connected:
    return await world.numbers.connect(user_id, asks_to_connect(account, number["sid"]))


async def disconnect(world: World, user_id: str) -> None:
    await world.numbers.disconnect(user_id, DisconnectNumber(credential=NOBODY))


async def mine(world: World, user_id: str) -> MyNumber:
    return await world.numbers.get(user_id, GetNumber(credential=NOBODY))


async def refusal(asking: Any) -> str:
    with pytest.raises(Refused) as refused:
        await asking
    return refused.value.code


async def test_connect_look_disconnect(world: World) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account, trunk_sid="TK" + "1" * 32)
    assert await refusal(mine(world, user_id)) == "no_number"
    connected = await connect(world, user_id, account, number)
    assert (connected.message, connected.phone_number) == ("Connected", number["phone_number"])
    assert shown(number) == OURS
    for _ in range(3):
        await world.bot(user_id)
    await world.bot(await world.user())
    assert await mine(world, user_id) == MyNumber(phone_number=number["phone_number"], bots_count=3)
    await disconnect(world, user_id)
    assert shown(number) == {**IVR, "trunk_sid": "TK" + "1" * 32}
    assert await refusal(mine(world, user_id)) == "no_number"
    assert await refusal(disconnect(world, user_id)) == "no_number"
    await world.is_clean()


async def test_an_application_comes_back_too(world: World) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account, voice_application_sid="AP" + "1" * 32)
    await connect(world, user_id, account, number)
    assert shown(number) == OURS
    await disconnect(world, user_id)
    assert shown(number) == {**IVR, "voice_application_sid": "AP" + "1" * 32}


async def test_connecting_twice_remembers_what_was_there_first(world: World) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account)
    await connect(world, user_id, account, number)
    await connect(world, user_id, account, number)
    number |= {"status_callback": "https://theirs.example/new", "status_callback_method": "GET"}
    await connect(world, user_id, account, number)
    user = await world.stores.users.get(user_id)
    assert user is not None and user.number is not None and PUBLIC_URL not in str(user.number.before)
    await disconnect(world, user_id)
    assert shown(number) == {**IVR, "status_callback": "https://theirs.example/new"}


async def test_what_the_owner_sets_meanwhile_stays(world: World) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account)
    await connect(world, user_id, account, number)
    number["voice_url"] = "https://theirs.example/new"
    await disconnect(world, user_id)
    assert number["voice_url"] == "https://theirs.example/new"
    assert number["status_callback"] == IVR["status_callback"]


async def test_another_number_takes_the_place_of_the_first(world: World) -> None:
    user_id, account = await world.user(), world.rest.account()
    first, second = a_number(account), a_number(account)
    await connect(world, user_id, account, first)
    await connect(world, user_id, account, second)
    assert shown(first) == IVR and shown(second) == OURS
    assert (await mine(world, user_id)).phone_number == second["phone_number"]
    assert await world.accounts.bot_or_owner_for_number(first["phone_number"]) is None
    await world.is_clean()


async def test_the_first_number_is_put_back_later_where_it_must_be(world: World) -> None:
    user_id, account, other = await world.user(), world.rest.account(), world.rest.account()
    first, second = a_number(account), a_number(other)
    await connect(world, user_id, account, first)
    world.rest.has("fetch", "", "500", "500", "500")
    await connect(world, user_id, other, second)
    assert shown(first) == OURS and shown(second) == OURS
    world.rest.is_well()
    await world.later(16)
    assert shown(first) == IVR and shown(second) == OURS
    await world.is_clean()


async def test_a_number_has_one_user(world: World) -> None:
    user_id, other_id, account = await world.user(), await world.user(), world.rest.account()
    number = a_number(account)
    await connect(world, user_id, account, number)
    assert await refusal(connect(world, other_id, account, number)) == "number_taken"
    assert shown(number) == OURS
    await disconnect(world, user_id)
    await connect(world, other_id, account, number)
    await disconnect(world, other_id)
    assert shown(number) == IVR


async def test_many_users_at_once_and_one_has_it(world: World) -> None:
    account = world.rest.account()
    number = a_number(account)
    users = [await world.user() for _ in range(8)]
    found = await asyncio.gather(
        *(connect(world, user_id, account, number) for user_id in users), return_exceptions=True
    )
    assert sum(isinstance(one, Connected) for one in found) == 1
    assert {one.code for one in found if isinstance(one, Refused)} <= {"number_taken", "conflict"}
    await world.later(61)
    assert shown(number) == OURS
    (winner,) = [user for user, one in zip(users, found, strict=True) if isinstance(one, Connected)]
    await disconnect(world, winner)
    assert shown(number) == IVR


async def test_nobody_else_works_on_a_number_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twilio_api, "REQUEST_S", 3.0)
    user_id, other_id, account = await world.user(), await world.user(), world.rest.account()
    number = a_number(account)
    world.rest.has("update", "slow")
    connecting = asyncio.create_task(connect(world, user_id, account, number))
    await world.rest.reached["update"].wait()
    assert await refusal(connect(world, other_id, account, number)) == "conflict"
    await world.later(1)
    assert len(world.rest.of("update")) == 1
    world.rest.let_go.set()
    await connecting
    assert shown(number) == OURS


async def test_one_user_connects_two_numbers_at_once(world: World) -> None:
    """Whichever wins, the other one is put back."""
    user_id, account = await world.user(), world.rest.account()
    numbers = [a_number(account), a_number(account)]
    await asyncio.gather(
        *(connect(world, user_id, account, number) for number in numbers), return_exceptions=True
    )
    await world.later(61)
    has = (await mine(world, user_id)).phone_number
    for number in numbers:
        assert shown(number) == (OURS if number["phone_number"] == has else IVR)


async def test_a_number_that_moved_to_another_account_leaves_its_old_user(world: World) -> None:
    user_id, other_id = await world.user(), await world.user()
    account, other = world.rest.account(), world.rest.account()
    number = a_number(account)
    await connect(world, user_id, account, number)
    del account.numbers[number["sid"]]
    await connect(world, other_id, other, other.owns(number["phone_number"]))
    assert await refusal(mine(world, user_id)) == "no_number"
    assert await world.accounts.token_for_number(number["phone_number"]) == other.token


async def test_wrong_credentials_and_wrong_numbers(world: World) -> None:
    user_id, account, other = await world.user(), world.rest.account(), world.rest.account()
    number = a_number(account)
    numbers = world.numbers
    wrong = asks_to_connect(account, number["sid"], "f" * 32)
    assert await refusal(numbers.connect(user_id, wrong)) == "twilio_auth_failed"
    assert (
        await refusal(numbers.connect(user_id, asks_to_connect(other, number["sid"]))) == "number_not_found"
    )
    unknown = asks_to_connect(account, "PN" + "0" * 32)
    assert await refusal(numbers.connect(user_id, unknown)) == "number_not_found"
    assert shown(number) == IVR
    assert await refusal(mine(world, user_id)) == "no_number"
    await world.is_clean()


async def test_the_auth_token_is_nowhere_in_clear(world: World, caplog: pytest.LogCaptureFixture) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account)
    question = asks_to_connect(account, number["sid"])
    told: list[str] = [repr(question), str(question.body)]
    with caplog.at_level(logging.DEBUG):
        for day in ("", "401", "500", "lost", "garbage", "hang"):
            for what in ("fetch", "update"):
                world.rest.has(what, day, always=True)
                try:
                    told.append(repr(await world.numbers.connect(user_id, question)))
                except Refused as e:
                    told.append(f"{e!r} {e.details}")
                documents = [await world.database.collection(name).many({}) for name in ("users", "numbers")]
                told.append(repr(documents))
                world.rest.is_well()
    told += [repr(await world.stores.users.get(user_id)), repr(vars(world.numbers)), caplog.text]
    told += [repr(vars(record)) for record in caplog.records]
    assert any("sealed_auth_token" in text for text in told), "there was something to look at"
    assert not any(account.token in text for text in told)


async def test_whose_number_was_called(world: World) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account)
    bot = await world.bot(user_id)
    phone_number = number["phone_number"]
    accounts = world.accounts
    assert await accounts.bot_or_owner_for_number(phone_number) is None
    assert await accounts.token_for_bot(bot) is None and await accounts.tokens_for_bot(bot) == []
    await connect(world, user_id, account, number)
    assert await accounts.bot_or_owner_for_number(phone_number) == CalledNumber(user_id, None)
    assert await accounts.token_for_number(phone_number) == account.token
    assert await accounts.token_for_bot(bot) == account.token
    bought_for = bot.model_copy(update={"number": "+12125550199"})
    assert await accounts.token_for_bot(bought_for) == world.platform.token
    assert await accounts.tokens_for_bot(bought_for) == [world.platform.token, account.token]


async def test_a_token_whose_key_is_lost_opens_nothing(world: World) -> None:
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account)
    await connect(world, user_id, account, number)
    other_ring = settings_with(world.settings, secret_keys=world.settings.webhook_keys)
    accounts = Accounts(world.stores, other_ring)
    assert await accounts.token_for_number(number["phone_number"]) is None


async def test_urls_that_cannot_be_read_hold_nobody(world: World) -> None:
    """Set by the number's owner meanwhile, in the pattern of ours."""
    user_id, account = await world.user(), world.rest.account()
    number = a_number(account)
    await connect(world, user_id, account, number)
    odd = {"voice_url": "", "voice_fallback_url": "/fallback", "status_callback": "/status"}
    number |= {name: f"https://[odd/v1/voice{path}" for name, path in odd.items()}
    await world.numbers.disconnect(user_id, DisconnectNumber(credential=NOBODY))
    with pytest.raises(Refused, match="no_number"):
        await world.numbers.get(user_id, GetNumber(credential=NOBODY))
    assert number["voice_url"] == "https://[odd/v1/voice"
