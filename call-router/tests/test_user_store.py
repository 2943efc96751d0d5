"""Users and their keys in the database: what is unique stays so, whoever is at it at the same time."""

import asyncio
from typing import Any

import pytest

from callbot.call_router.api_key_store import StoredApiKey, new_secret
from callbot.call_router.database import AlreadyThere
from callbot.call_router.instants import utc_now
from callbot.call_router.stores import Stores
from callbot.call_router.user_store import StoredNumber, StoredUser


def user(user_id: str, email: str | None = None) -> StoredUser:
    return StoredUser(user_id=user_id, email=email, password_hash="x", created_at=utc_now())


def number(sid: str) -> StoredNumber:
    return StoredNumber(
        phone_number="+14155550100",
        phone_number_sid=sid,
        account_sid="AC1",
        sealed_auth_token="sealed",
        before={"VoiceUrl": "https://example.com"},
        connected_at=utc_now(),
    )


async def test_a_user_is_found_as_they_were_added(stores: Stores, database: Any) -> None:
    added = user("store_1", "store_1@example.com")
    await stores.users.add(added)
    assert await stores.users.get("store_1") == added
    assert await stores.users.by_email("store_1@example.com") == added
    assert await stores.users.by_email("Store_1@example.com") is None
    assert await stores.users.get("store_2") is None
    assert database["users"].find_one({"user_id": "store_1"})["schema_version"] == 2
    assert "password_hash" not in repr(added)


async def test_an_id_and_an_address_are_taken_once(stores: Stores) -> None:
    await stores.users.add(user("once_1", "once_1@example.com"))
    for again in (user("once_1"), user("once_2", "once_1@example.com")):
        with pytest.raises(AlreadyThere):
            await stores.users.add(again)


async def test_users_without_an_address_do_not_collide(stores: Stores) -> None:
    for user_id in ("bare_1", "bare_2"):
        await stores.users.add(user(user_id))
        assert await stores.users.get(user_id) is not None


async def test_the_user_of_the_open_mode_is_there_once_and_keeps_what_they_have(
    stores: Stores, database: Any
) -> None:
    first = utc_now()
    await asyncio.gather(*(stores.users.ensure("ensured", first) for _ in range(10)))
    await stores.users.set_timezone("ensured", "Europe/Berlin")
    await stores.users.ensure("ensured", utc_now())
    assert database["users"].count_documents({"user_id": "ensured"}) == 1
    found = await stores.users.get("ensured")
    assert found == StoredUser(user_id="ensured", timezone="Europe/Berlin", created_at=first)


async def test_a_number_belongs_to_one_user(stores: Stores) -> None:
    for name in ("number_1", "number_2"):
        await stores.users.add(user(name))
    connected = number("PN1")
    await stores.users.set_number("number_1", connected)
    with pytest.raises(AlreadyThere):
        await stores.users.set_number("number_2", number("PN1"))
    found = await stores.users.by_phone_number("+14155550100")
    assert found is not None and (found.user_id, found.number) == ("number_1", connected)
    await stores.users.set_number("number_1", None)
    await stores.users.set_number("number_2", number("PN1"))


async def test_a_password_hash_is_replaced_only_while_it_is_what_was_read(stores: Stores) -> None:
    await stores.users.add(user("rehash"))
    await stores.users.change_password_hash("rehash", "x", "y")
    await stores.users.change_password_hash("rehash", "x", "z")
    found = await stores.users.get("rehash")
    assert found is not None and found.password_hash == "y"


def new_key(user_id: str) -> StoredApiKey:
    key_id, _, sha256 = new_secret()
    return StoredApiKey(key_id=key_id, user_id=user_id, name="k", secret_sha256=sha256, created_at=utc_now())


async def test_parallel_keys_are_not_more_than_the_limit(stores: Stores) -> None:
    added = await asyncio.gather(*(stores.api_keys.add(new_key("keys_1"), 5) for _ in range(20)))
    assert sum(added) == 5
    kept = await stores.api_keys.of_user("keys_1")
    assert len(kept) == 5
    assert not await stores.api_keys.add(new_key("keys_1"), 5)
    assert await stores.api_keys.remove("keys_1", kept[2].key_id)
    assert not await stores.api_keys.remove("keys_1", kept[2].key_id)
    assert await stores.api_keys.add(new_key("keys_1"), 5)
    assert await stores.api_keys.add(new_key("keys_2"), 5)
