"""What goes wrong elsewhere, slowly or halfway, must not stay wrong here."""

import asyncio
import secrets
import signal
from pathlib import Path

import pytest

from callbot.call_router.attempts import Attempts
from callbot.call_router.call_store import CallRecord
from callbot.call_router.mongo import open_database
from callbot.call_router.passwords import Passwords
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.call_router.users import Users
from callbot.runtime.errors import Refused
from callbot.schemas.calls import AdmitStream
from tests.servers import mongo_server

from .conftest import TOKENS
from .customers import PUBLIC, Customer
from .people import asking
from .test_call_limits import seats
from .test_limits import DAY, NEXT_DAY, calls_on, stored_bot


async def test_a_seat_is_free_when_twilio_says_so_though_its_gateway_is_dead(
    stores: Stores, settings: Settings
) -> None:
    """The gateway died before it had written down anything, so that nobody else will tell the end."""
    secured = settings.model_copy(update={"auth": "required", "public_url": PUBLIC})
    alice = await Customer(stores, secured).signs_up()
    routed = await alice.calls(await alice.makes_bot())
    shown = AdmitStream(call_id=routed.call_id, bot_id=routed.bot_id, token=routed.token)
    await alice.routing.admit(shown)
    await alice.asks_about(routed, CallStatus="in-progress")
    assert await seats(stores, alice.user_id) == {routed.call_id}
    await alice.asks_about(routed, CallStatus="completed")
    assert await seats(stores, alice.user_id) == set()
    record = await stores.calls.get(routed.call_id)
    assert isinstance(record, CallRecord) and record.ended_at is None


async def test_a_clock_that_was_wrong_once_does_not_close_a_bot_for_years(stores: Stores) -> None:
    bot_id = secrets.token_hex(4)
    await stored_bot(stores, bot_id)
    for _ in range(3):
        await stores.bots.take_call(bot_id, "2036-01-01", 3)
    assert await calls_on(stores, bot_id, DAY) == 0
    assert [await stores.bots.take_call(bot_id, DAY, 2) for _ in range(3)] == [True, True, False]
    assert await calls_on(stores, bot_id, DAY) == 2
    # From the first place on earth where it is tomorrow to the last where it is today: still one counter.
    assert await stores.bots.take_call(bot_id, "2026-11-23", 2)
    assert await calls_on(stores, bot_id, DAY) == 1
    assert [await stores.bots.take_call(bot_id, day, 2) for day in (NEXT_DAY, DAY)] == [True, False]


async def test_an_attempt_that_came_to_no_end_does_not_count(settings: Settings, tmp_path: Path) -> None:
    """A database that is slow for a minute must not lock out those who know their passwords."""
    mongo = mongo_server(tmp_path / "mongo")
    mongo.start()
    try:
        async with open_database(f"mongodb://127.0.0.1:{mongo.port}", "slow") as database:
            stores = Stores(database)
            await stores.prepare()
            attempts = Attempts(stores.attempts, per_address=1000, per_account=2)
            users = Users(stores.users, attempts, Passwords(), TOKENS)

            async def stands_still(email: str) -> None:
                mongo.send(signal.SIGSTOP)
                asyncio.get_running_loop().call_later(0.5, mongo.send, signal.SIGCONT)
                return await really(email)

            really = stores.users.by_email
            for _ in range(3):
                stores.users.by_email = stands_still  # type: ignore[method-assign, assignment]
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await users.token(asking("somebody@example.com"))
                stores.users.by_email = really  # type: ignore[method-assign]
            with pytest.raises(Refused, match="invalid_credentials"):
                await users.token(asking("somebody@example.com"))
    finally:
        mongo.kill()
