"""Attempts are counted exactly, by address and by account, and forgotten after their window."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callbot.call_router.attempts import WINDOW_S, Attempts, Taken, network_of
from callbot.call_router.mongo import open_database
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.runtime.errors import Refused

BEGAN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
"""The beginning of a window."""


def attempts(stores: Stores, limit: int = 3, now: Callable[[], datetime] = lambda: BEGAN) -> Attempts:
    return Attempts(stores.attempts, per_address=limit, per_account=limit, now=now)


async def allowed(*taking: Any) -> list[Taken]:
    """Those that were not refused; every other error is one."""
    done = await asyncio.gather(*taking, return_exceptions=True)
    for refusal in done:
        if isinstance(refusal, BaseException):
            assert isinstance(refusal, Refused) and refusal.code == "rate_limited", refusal
    return [taken for taken in done if isinstance(taken, Taken)]


async def test_parallel_attempts_at_two_replicas_are_counted_exactly(
    stores: Stores, settings: Settings
) -> None:
    async with open_database(settings.mongo_url, settings.mongo_database) as database:
        replicas = [attempts(stores, 10), attempts(Stores(database), 10)]
        taken = await allowed(*(replicas[n % 2].by_address("198.51.100.1") for n in range(50)))
    assert sorted(one.rate_limit.remaining for one in taken) == list(range(10))


async def test_a_refusal_says_when_to_come_again(stores: Stores) -> None:
    clock = [BEGAN + timedelta(seconds=100)]
    counted = attempts(stores, 1, lambda: clock[0])
    taken = await counted.by_address("198.51.100.2")
    assert taken.rate_limit.model_dump() == {"limit": 1, "remaining": 0, "reset_s": WINDOW_S - 100}
    for seconds, reset_s in ((100, "800"), (WINDOW_S - 0.5, "1")):
        clock[0] = BEGAN + timedelta(seconds=seconds)
        with pytest.raises(Refused) as refused:
            await counted.by_address("198.51.100.2")
        assert refused.value.code == "rate_limited"
        wanted = {"limit": "1", "remaining": "0", "reset_s": reset_s, "retry_after_s": reset_s}
        assert refused.value.details == wanted
    clock[0] = BEGAN + timedelta(seconds=WINDOW_S)
    assert (await counted.by_address("198.51.100.2")).rate_limit.remaining == 0


async def test_one_address_does_not_use_up_what_another_has(stores: Stores) -> None:
    counted = attempts(stores, 1)
    for address in ("203.0.113.1", "203.0.113.2", "2001:db8:1:1::1", "2001:db8:1:2::1", ""):
        await counted.by_address(address)
    for address in ("203.0.113.1", "::ffff:203.0.113.1", "2001:db8:1:1:ffff::2", ""):
        assert await allowed(counted.by_address(address)) == [], address


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8:0:0:ffff::", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_an_address_counts_by_what_one_subscriber_has(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_only_failures_stay_counted_for_an_account(stores: Stores) -> None:
    counted = attempts(stores, 2)
    for _ in range(5):
        await counted.give_back(await counted.for_account("a@example.com"))
    assert len(await allowed(*(counted.for_account("a@example.com") for _ in range(5)))) == 2
    assert "example" not in (await counted.for_account("b@example.com")).key


async def test_a_refused_attempt_takes_nothing(stores: Stores) -> None:
    counted = attempts(stores, 2)
    first, second = [await counted.for_account("c@example.com") for _ in range(2)]
    assert await allowed(*(counted.for_account("c@example.com") for _ in range(5))) == []
    await counted.give_back(first)
    assert len(await allowed(*(counted.for_account("c@example.com") for _ in range(5)))) == 1
    for _ in range(3):
        await counted.give_back(second)
    assert len(await allowed(*(counted.for_account("c@example.com") for _ in range(5)))) == 2


async def test_nothing_is_kept_for_longer_than_its_window(stores: Stores, database: Any) -> None:
    taken = await attempts(stores).by_address("198.51.100.9")
    kept = database["auth_attempts"].find_one({"key": taken.key})
    assert kept["expires_at"] == BEGAN + timedelta(seconds=WINDOW_S)
    indexes = database["auth_attempts"].index_information().values()
    assert [i["key"] for i in indexes if i.get("expireAfterSeconds") == 0] == [[("expires_at", 1)]]
