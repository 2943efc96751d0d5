"""API keys over the bus: shown once, kept hashed, good wherever a token is."""

import asyncio
import re
from typing import Any

import pytest

from callbot.call_router.settings import Settings
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.subjects import KEY_DELETE, KEY_LIST
from callbot.schemas.users import ApiKeyRef, Credential, ListApiKeys, NewApiKey

from .conftest import ASK_S, as_user
from .people import key, me, refusal, sign_up, token

pytestmark = pytest.mark.usefixtures("router")


async def test_a_key_is_shown_once_and_kept_hashed(gateway: Bus, database: Any) -> None:
    alice = as_user("alice_keys")
    made = await key(gateway, alice, "  laptop ")
    assert re.fullmatch(r"cbk_[A-Za-z0-9]{22}_[A-Za-z0-9_-]{43}", made.key)
    assert made.name == "laptop"
    listed = await gateway.ask(KEY_LIST, ListApiKeys(credential=alice), timeout_s=ASK_S)
    assert [one.model_dump() for one in listed.api_keys] == [made.model_dump(exclude={"key"})]
    kept = database["api_keys"].find_one({"key_id": made.id})
    assert made.key.rpartition("_")[2] not in str(kept)
    assert made.key not in repr(made)


async def test_a_key_is_good_wherever_a_token_is(gateway: Bus) -> None:
    email = "keys@example.com"
    await sign_up(gateway, email)
    bearer = Credential(kind="bearer", value=(await token(gateway, email)).access_token)
    shown = Credential(kind="api_key", value=(await key(gateway, bearer)).key)
    assert await me(gateway, shown) == await me(gateway, bearer)
    second = await key(gateway, shown)
    listed = await gateway.ask(KEY_LIST, ListApiKeys(credential=shown), timeout_s=ASK_S)
    assert second.id in [one.id for one in listed.api_keys]


async def test_anothers_key_does_not_exist(gateway: Bus) -> None:
    alice, bob = as_user("alice_deletes"), as_user("bob_deletes")
    made = await key(gateway, alice)
    delete_as = {
        who: ApiKeyRef(credential=credential, key_id=made.id)
        for who, credential in (("alice", alice), ("bob", bob))
    }
    assert (await gateway.ask(KEY_LIST, ListApiKeys(credential=bob), timeout_s=ASK_S)).api_keys == []
    asked = gateway.ask(KEY_DELETE, delete_as["bob"], timeout_s=ASK_S)
    assert (await refusal(asked)).code == "key_not_found"
    assert (await gateway.ask(KEY_DELETE, delete_as["alice"], timeout_s=ASK_S)).message == "API key deleted"
    shown = Credential(kind="api_key", value=made.key)
    assert (await refusal(key(gateway, shown))).code == "unauthorized"


@pytest.mark.usefixtures("second_replica")
async def test_parallel_keys_of_one_user_are_not_more_than_the_limit(
    gateway: Bus, settings: Settings
) -> None:
    credential = as_user("many_keys")
    asked = (key(gateway, credential) for _ in range(settings.keys_per_user + 10))
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert len([one for one in done if isinstance(one, NewApiKey)]) == settings.keys_per_user
    assert [one.code for one in done if isinstance(one, Refused)] == ["key_limit"] * 10
