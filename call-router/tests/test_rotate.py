"""Every sealed value under a new key, while the service works."""

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from callbot.call_router import rotate as rotate_module
from callbot.call_router.accounts import Accounts
from callbot.call_router.rotate import rotate
from callbot.call_router.settings import Settings
from callbot.runtime.keyring import KeyRing
from callbot.runtime.sealing import Sealing, webhook_secret_of
from tests.vendors.twilio_rest import NUMBERS_OF_TESTS

from .conftest import RINGS, settings_with
from .twilio_world import World, asks_to_connect, open_world

NEWEST = "newest:" + base64.b64encode(b"n" * 32).decode()


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    async with open_world(settings, "rotation") as world:
        await world.is_emptied()
        yield world


def after_the_change(settings: Settings) -> Settings:
    return settings_with(
        settings,
        secret_keys=SecretStr(f"{NEWEST},{RINGS['secret_keys']}"),
        webhook_keys=SecretStr(f"{NEWEST},{RINGS['webhook_keys']}"),
    )


def without_the_old_keys(settings: Settings) -> Settings:
    return settings_with(settings, secret_keys=SecretStr(NEWEST), webhook_keys=SecretStr(NEWEST))


async def with_secrets(world: World, bots: int) -> tuple[list[str], str, str]:
    """Bots, a connected number with its token, and a number that is not settled yet."""
    user_id, account = await world.user(), world.rest.account()
    number = account.owns(next(NUMBERS_OF_TESTS))
    await world.numbers.connect(user_id, asks_to_connect(account, number["sid"]))
    world.rest.has("update", "500", "500", "500")
    with pytest.raises(Exception, match="twilio_unavailable"):
        unsettled = account.owns(next(NUMBERS_OF_TESTS))["sid"]
        await world.numbers.connect(user_id, asks_to_connect(account, unsettled))
    sealing = Sealing(KeyRing.parse(RINGS["webhook_keys"]))
    ids = [(await world.bot(user_id)).id for _ in range(bots)]
    for bot_id in ids:
        sealed = sealing.seal(f"secret of {bot_id}", webhook_secret_of(bot_id))
        await world.database.collection("bots").update(
            {"id": bot_id}, {"$set": {"sealed_webhook_secret": sealed}}
        )
    return ids, number["phone_number"], account.token


async def secrets_of(world: World, settings: Settings, ids: list[str]) -> list[str]:
    assert settings.webhook_keys is not None
    sealing = Sealing(KeyRing.parse(settings.webhook_keys.get_secret_value()))
    opened = []
    for bot_id in ids:
        bot = await world.stores.bots.get(bot_id)
        assert bot is not None and bot.version == 1
        opened.append(sealing.open(bot.sealed_webhook_secret, webhook_secret_of(bot_id)))
    return opened


async def test_everything_is_sealed_anew_and_the_old_key_can_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotate_module, "PAGE", 3)
    ids, phone_number, token = await with_secrets(world, bots=7)
    counts = await rotate(world.database, after_the_change(world.settings))
    assert [count.sealed for count in counts.values()] == [7, 1, 1]
    alone = without_the_old_keys(world.settings)
    assert await secrets_of(world, alone, ids) == [f"secret of {bot_id}" for bot_id in ids]
    assert await Accounts(world.stores, alone).token_for_number(phone_number) == token
    again = await rotate(world.database, after_the_change(world.settings))
    assert [(count.sealed, count.fresh) for count in again.values()] == [(0, 7), (0, 1), (0, 1)]


async def test_what_no_key_opens_is_counted_and_left(world: World) -> None:
    ids, *_ = await with_secrets(world, bots=2)
    counts = await rotate(world.database, without_the_old_keys(world.settings))
    assert [count.lost for count in counts.values()] == [2, 1, 1]
    assert await secrets_of(world, world.settings, ids) == [f"secret of {bot_id}" for bot_id in ids]


async def test_another_key_under_the_same_name_does_not_count_as_fresh(world: World) -> None:
    """Else nothing would tell before the old key is gone that the new one is not the same everywhere."""
    await with_secrets(world, bots=2)
    await rotate(world.database, after_the_change(world.settings))
    mistaken = SecretStr("newest:" + base64.b64encode(b"m" * 32).decode())
    counts = await rotate(
        world.database, settings_with(world.settings, secret_keys=mistaken, webhook_keys=mistaken)
    )
    assert [(count.fresh, count.lost) for count in counts.values()] == [(0, 2), (0, 1), (0, 1)]


async def test_a_secret_that_changes_meanwhile_keeps_its_change(world: World) -> None:
    ids, *_ = await with_secrets(world, bots=1)
    after = after_the_change(world.settings)
    assert after.webhook_keys is not None
    sealing = Sealing(KeyRing.parse(after.webhook_keys.get_secret_value()))
    changed = sealing.seal("changed", webhook_secret_of(ids[0]))
    bots = world.database.real.collection("bots")

    async def changing(operation: int) -> None:
        if operation == 1:
            # The reading was before, the writing comes now.
            assert await bots.update({"id": ids[0]}, {"$set": {"sealed_webhook_secret": changed}})

    world.database.is_well()
    world.database.meanwhile = changing
    counts = await rotate(world.database, after)
    assert await secrets_of(world, after, ids) == ["changed"]
    assert (counts["webhook secrets"].sealed, counts["webhook secrets"].fresh) == (0, 1)


async def test_the_commands(world: World) -> None:
    ids, *_ = await with_secrets(world, bots=1)
    after = after_the_change(world.settings)
    environment = {
        **os.environ,
        "MONGO_URL": after.mongo_url,
        "CALLBOT_MONGO_DATABASE": "rotation",
        "CALLBOT_AUTH": "open",
        "CALLBOT_SECRET_KEYS": f"{NEWEST},{RINGS['secret_keys']}",
        "CALLBOT_WEBHOOK_KEYS": f"{NEWEST},{RINGS['webhook_keys']}",
    }
    told = await asyncio.to_thread(run, environment, "rotate")
    assert told.returncode == 0, told.stderr
    assert "webhook secrets: 1 sealed anew, 0 were fresh, 0 cannot be opened" in told.stdout
    assert await secrets_of(world, without_the_old_keys(world.settings), ids) == [f"secret of {ids[0]}"]
    lost = {**environment, "CALLBOT_WEBHOOK_KEYS": RINGS["webhook_keys"]}
    assert (await asyncio.to_thread(run, lost, "rotate")).returncode == 1
    wrong = {**environment, "CALLBOT_SECRET_KEYS": "nonsense"}
    told = await asyncio.to_thread(run, wrong, "rotate")
    assert told.returncode == 1 and "nonsense" not in told.stderr and "CALLBOT" not in told.stdout
    assert "CALLBOT_SECRET_KEYS: " in told.stderr


async def test_a_new_key(world: World) -> None:
    first, second = [await asyncio.to_thread(run, dict(os.environ), "new_key", "2026-11") for _ in range(2)]
    assert list(KeyRing.parse(first.stdout.strip()).keys) == ["2026-11"]
    assert first.stdout != second.stdout
    assert (await asyncio.to_thread(run, dict(os.environ), "new_key", "a b")).returncode == 1
    assert (await asyncio.to_thread(run, dict(os.environ), "new_key")).returncode == 1


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    module, *arguments = command
    return subprocess.run(
        [sys.executable, "-m", f"callbot.call_router.{module}", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
