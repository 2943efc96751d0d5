"""Passwords: hashed with today's costs, beside the loop, a few at once."""

import asyncio
import re

import argon2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbot.call_router.passwords import AT_ONCE, LANES, MEMORY_KIB, PASSES, Passwords
from callbot.runtime.errors import Refused


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords()


async def test_a_password_matches_its_own_hash_only(passwords: Passwords) -> None:
    kept = await passwords.hash("correct horse")
    assert re.match(rf"\$argon2id\$v=19\$m={MEMORY_KIB},t={PASSES},p={LANES}\$", kept)
    assert await passwords.matches("correct horse", kept)
    for wrong in ("correct horse ", "Correct horse", "", "x"):
        assert not await passwords.matches(wrong, kept)
    assert await passwords.hash("correct horse") != kept


async def test_nobody_has_a_password(passwords: Passwords) -> None:
    for guess in ("", "password", "correct horse"):
        assert not await passwords.matches(guess, None)


@pytest.mark.parametrize("kept", ["", "x", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$AAAA$"])
async def test_a_hash_that_cannot_be_read_matches_nothing(passwords: Passwords, kept: str) -> None:
    assert not await passwords.matches("password", kept)


async def test_the_spelling_of_a_letter_does_not_matter(passwords: Passwords) -> None:
    assert await passwords.matches("mot de passe\u0301", await passwords.hash("mot de pass\u00e9"))


@settings(max_examples=5, deadline=None)
@given(st.text(min_size=1, max_size=200))
def test_any_text_can_be_a_password(passwords: Passwords, text: str) -> None:
    async def round_trip() -> bool:
        return await passwords.matches(text, await passwords.hash(text))

    assert asyncio.run(round_trip())


async def test_a_hash_of_other_costs_is_outdated_and_still_matches(passwords: Passwords) -> None:
    old = argon2.PasswordHasher(memory_cost=1024, time_cost=1, parallelism=1).hash("correct horse")
    assert passwords.is_outdated(old)
    assert await passwords.matches("correct horse", old)
    assert not passwords.is_outdated(await passwords.hash("correct horse"))


async def test_the_loop_goes_on_while_passwords_are_hashed(passwords: Passwords) -> None:
    hashing = asyncio.gather(*(passwords.hash("correct horse") for _ in range(6)))
    rounds = 0
    while not hashing.done():
        await asyncio.sleep(0)
        rounds += 1
    # Thousands; hashed in the loop itself there are a handful for each password.
    assert rounds > 200


async def test_too_many_are_refused_at_once_and_there_is_room_again_afterwards() -> None:
    narrow = Passwords(most_waiting=3)
    room = AT_ONCE + 3
    done = await hashes(narrow, room + 4)
    refused = [one for one in done if isinstance(one, Refused)]
    assert [one.code for one in refused] == ["unavailable"] * 4
    assert len([one for one in done if isinstance(one, str)]) == room
    assert all(isinstance(one, str) for one in await hashes(narrow, room))


async def test_who_goes_away_leaves_their_place() -> None:
    narrow = Passwords(most_waiting=3)
    waiting = [asyncio.create_task(narrow.hash("x")) for _ in range(AT_ONCE + 3)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    # Those that had begun compute to their end.
    async with asyncio.timeout(5):
        while any(isinstance(one, Refused) for one in await hashes(narrow, AT_ONCE + 3)):
            continue


async def hashes(passwords: Passwords, count: int) -> list[str | BaseException]:
    return await asyncio.gather(*(passwords.hash("x") for _ in range(count)), return_exceptions=True)
