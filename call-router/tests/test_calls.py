"""The list of calls, and erasing one: over the bus, in a real database and a real JetStream."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.js.errors import KeyNotFoundError, NotFoundError

from callbot.call_router import calls
from callbot.call_router.call_log import CallLog
from callbot.call_router.erased_calls import REMEMBERED_S
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.runtime.bus import Bus, connect
from callbot.schemas.calls import (
    CallDetail,
    CallEvent,
    CallJournal,
    CallPage,
    CallRef,
    CallStarted,
    ListCalls,
    TurnDone,
    TurnRecord,
)
from callbot.schemas.memory import CALL_EVENTS, CALLS
from callbot.schemas.subjects import CALL_DELETE, CALL_EVENT, CALL_GET, CALL_LIST
from callbot.schemas.users import Done
from tests.samples import a_brief
from tests.servers import Server

from .conftest import ASK_S, as_user, eventually, new_bot
from .test_records import story, tell
from .test_routing import admit, new_call_id, refusal, route

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("router")


async def listed(gateway: Bus, user_id: str, **fields: Any) -> CallPage:
    question = ListCalls(credential=as_user(user_id), **fields)
    return await gateway.ask(CALL_LIST, question, timeout_s=ASK_S)


async def erase(gateway: Bus, call_id: str, user_id: str = "public") -> Done:
    question = CallRef(credential=as_user(user_id), call_id=call_id)
    return await gateway.ask(CALL_DELETE, question, timeout_s=ASK_S)


async def show(gateway: Bus, call_id: str, user_id: str = "public") -> CallDetail:
    question = CallRef(credential=as_user(user_id), call_id=call_id)
    return await gateway.ask(CALL_GET, question, timeout_s=ASK_S)


async def ended_call(gateway: Bus, database: Any) -> str:
    """A call whose whole story is in its record."""
    call_id = new_call_id()
    for event in story(call_id):
        await tell(gateway, event, message_id=event.event_id)
    await eventually(lambda: database["calls"].find_one({"call_id": call_id, "event_ids": {"$size": 4}}))
    return call_id


async def stored_events(gateway: Bus, call_id: str) -> int:
    js, after = gateway.jetstream(), 0
    for found in range(100):
        try:
            subject = CALL_EVENT.of(call_id=call_id)
            message = await js.get_msg(CALL_EVENTS.name, seq=after + 1, subject=subject, next=True)
        except NotFoundError:
            return found
        after = message.seq or 0
    raise AssertionError("no end")


@pytest.fixture(scope="module")
async def many_calls(stores: Stores) -> tuple[str, list[str]]:
    """A user's 25 calls, newest first; always five of one millisecond, of three bots in turn."""
    user_id, began = f"u_{secrets.token_hex(4)}", datetime(2026, 11, 21, tzinfo=UTC)
    ids: list[tuple[datetime, str]] = []
    for n in range(25):
        at, call_id = began + timedelta(seconds=n // 5), new_call_id()
        fact = CallStarted(from_number="+14155550100", to_number="+14155550199")
        bot_id = f"bot_{n % 3}"
        event = CallEvent(event_id="1", call_id=call_id, bot_id=bot_id, user_id=user_id, at=at, fact=fact)
        await stores.call_log.fold(event)
        turn = TurnDone(turn=TurnRecord(number=1, input="speech", user_text="private"))
        await stores.call_log.fold(event.model_copy(update={"event_id": "2", "fact": turn}))
        ids.append((at, call_id))
    return user_id, [call_id for _, call_id in sorted(ids, reverse=True)]


@pytest.mark.parametrize("limit", [1, 4, 5, 24, 25, 100])
async def test_pages_show_every_call_once_newest_first(
    gateway: Bus, many_calls: tuple[str, list[str]], limit: int
) -> None:
    user_id, expected = many_calls
    found: list[str] = []
    cursor = None
    while True:
        page = await listed(gateway, user_id, limit=limit, cursor=cursor)
        found += [call.call_id for call in page.calls]
        assert len(page.calls) <= limit
        if (cursor := page.next_cursor) is None:
            break
    assert found == expected


async def test_the_list_of_one_bot_and_of_one_user(gateway: Bus, many_calls: tuple[str, list[str]]) -> None:
    user_id, _ = many_calls
    first = await listed(gateway, user_id, bot_id="bot_1", limit=5)
    second = await listed(gateway, user_id, bot_id="bot_1", limit=5, cursor=first.next_cursor)
    assert [len(first.calls), len(second.calls), second.next_cursor] == [5, 3, None]
    assert {call.bot_id for call in [*first.calls, *second.calls]} == {"bot_1"}
    assert first.calls[0].from_number == "+14155550100" and first.calls[0].started_at is not None
    assert (await listed(gateway, f"{user_id}x", bot_id="bot_1")).calls == []


async def test_a_new_call_does_not_move_what_is_on_the_next_page(gateway: Bus) -> None:
    user_id = f"u_{secrets.token_hex(4)}"
    bot = await new_bot(gateway, user_id)
    old = [(await route(gateway, bot.id, new_call_id())).call_id for _ in range(3)]
    page = await listed(gateway, user_id, limit=1)
    await route(gateway, bot.id, new_call_id())
    rest = await listed(gateway, user_id, cursor=page.next_cursor)
    assert {call.call_id for call in [*page.calls, *rest.calls]} == set(old)


@pytest.mark.parametrize("cursor", ["x", "%", "$gt", "AAAA", "MTIzLiRndA", "\u00e9"])
async def test_a_cursor_that_is_not_ours_is_refused(gateway: Bus, cursor: str) -> None:
    assert await refusal(listed(gateway, "public", cursor=cursor)) == "invalid_request"


async def test_an_erased_call_is_in_no_store(gateway: Bus, stores: Stores, database: Any) -> None:
    call_id, other = await ended_call(gateway, database), await ended_call(gateway, database)
    bucket = await gateway.bucket(CALLS)
    for kept in (call_id, other):
        journal = CallJournal(brief=a_brief(call_id=kept), began_at=datetime.now(UTC))
        for _ in range(2):
            await bucket.put(kept, journal.encode())
    assert await stored_events(gateway, call_id) == 4
    assert (await erase(gateway, call_id)).message == "Call deleted"

    assert await refusal(show(gateway, call_id)) == "call_not_found"
    assert await refusal(erase(gateway, call_id)) == "call_not_found"
    assert database["calls"].find_one({"call_id": call_id}) is None
    assert await stored_events(gateway, call_id) == 0
    with pytest.raises(KeyNotFoundError):
        await bucket.get(call_id)
    # And nothing else is gone.
    assert (await show(gateway, other)).end_reason == "caller_hung_up"
    assert await stored_events(gateway, other) == 4
    assert (await bucket.get(other)).value


async def test_a_late_event_does_not_bring_an_erased_call_back(gateway: Bus, database: Any) -> None:
    call_id = await ended_call(gateway, database)
    await erase(gateway, call_id)
    started, turn, *_ = story(call_id)
    for n, event in enumerate((started, turn)):
        await tell(gateway, event.model_copy(update={"event_id": f"{call_id}.2.{n}"}))
    await ended_call(gateway, database)  # the events behind them have been folded, so they have been too
    assert database["calls"].find_one({"call_id": call_id}) is None
    assert await stored_events(gateway, call_id) == 0


class Interrupted:
    """The real database; whatever makes a record of a call waits for `meanwhile`."""

    def __init__(self, inner: Any, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def collection(self, name: str) -> Any:
        found = self._inner.collection(name)
        return Interrupted(found, self._meanwhile) if name == "calls" else found

    async def update(self, wanted: Any, update: Any, *, upsert: bool = False) -> bool:
        if upsert:
            await self._meanwhile()
        return bool(await self._inner.update(wanted, update, upsert=upsert))


async def test_an_event_that_is_folded_while_its_call_is_erased_does_not_bring_it_back(
    stores: Stores, database: Any
) -> None:
    call_id = new_call_id()
    erasures: list[str] = []

    async def erased_meanwhile() -> None:
        erasures.append(call_id)
        await stores.call_log.forget(call_id, LONG_AGO)
        await stores.call_log.remove(call_id)

    log = CallLog(Interrupted(stores._database, erased_meanwhile))
    started, turn, *_ = story(call_id)
    assert not await log.fold(started)
    assert not await log.fold(turn)
    assert erasures == [call_id], "after the first event nobody even begins a record"
    assert database["calls"].find_one({"call_id": call_id}) is None


async def test_tombstones_go_by_themselves(stores: Stores, database: Any) -> None:
    indexes = database["erased"].index_information().values()
    assert CALL_EVENTS.max_age_s < REMEMBERED_S
    assert [i["expireAfterSeconds"] for i in indexes if "expireAfterSeconds" in i] == [REMEMBERED_S]


async def test_a_call_that_goes_on_is_not_erased(gateway: Bus, database: Any) -> None:
    bot = await new_bot(gateway)
    routed = await route(gateway, bot.id, new_call_id())
    assert await refusal(erase(gateway, routed.call_id)) == "call_live"
    await admit(gateway, routed)
    assert await refusal(erase(gateway, routed.call_id)) == "call_live"
    assert (await show(gateway, routed.call_id)).call_id == routed.call_id


@pytest.mark.parametrize(("streamed", "hours"), [(False, 0.05), (True, 4.2)])
async def test_a_call_whose_end_nobody_told_can_be_erased_in_the_end(
    gateway: Bus, database: Any, streamed: bool, hours: float
) -> None:
    bot = await new_bot(gateway)
    routed = await route(gateway, bot.id, new_call_id())
    if streamed:
        await admit(gateway, routed)
    then = datetime.now(UTC) - timedelta(hours=hours)
    wanted, moved = {"call_id": routed.call_id}, {"routed_at": then, "token_issued_at": then}
    database["calls"].update_one(wanted, {"$set": moved})
    await erase(gateway, routed.call_id)
    assert await refusal(show(gateway, routed.call_id)) == "call_not_found"


async def test_another_users_call_is_neither_shown_nor_erased(gateway: Bus, database: Any) -> None:
    call_id = await ended_call(gateway, database)
    assert await refusal(show(gateway, call_id, "mallory")) == "call_not_found"
    assert await refusal(erase(gateway, call_id, "mallory")) == "call_not_found"
    assert (await listed(gateway, "mallory")).calls == []
    assert (await show(gateway, call_id)).end_reason == "caller_hung_up"
    assert await stored_events(gateway, call_id) == 4


async def test_what_broke_off_is_erased_when_it_is_asked_again(
    gateway: Bus, stores: Stores, database: Any, settings: Settings, nats: Server
) -> None:
    """Without JetStream nothing is called erased that is not."""
    call_id = await ended_call(gateway, database)
    async with connect(settings.nats_url, speaks_as="call-router") as cut:
        alone = calls.Calls(stores, cut)
    question = CallRef(credential=as_user(), call_id=call_id)
    assert await refusal(alone.delete("public", question)) == "unavailable"
    assert (await show(gateway, call_id)).end_reason == "caller_hung_up"
    await erase(gateway, call_id)
    assert await stored_events(gateway, call_id) == 0
