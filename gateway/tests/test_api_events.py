"""A live call as server-sent events: each once, in order, over lost links, to whoever may see them."""

import asyncio
import secrets

import pytest

from callbot.call_router.memory import ensure_memory
from callbot.gateway.api import call_tail, events, viewers
from callbot.gateway.keys import BUS, VIEWERS
from callbot.runtime.bus import Bus, connect
from callbot.schemas.calls import (
    MediaFlowed,
    StageFallback,
)
from callbot.schemas.subjects import CALL_EVENT, CALL_GET
from callbot.schemas.usage import UsageTold
from tests.servers import Server, url_for

from .api_site import ApiRouter, Site, served
from .live_events import AT, ENDED, STARTED, Call, turn, until, watching


async def test_a_call_from_its_beginning_to_its_end(site: Site, call: Call) -> None:
    await call.tells(STARTED)
    async with watching(site, call.path) as stream:
        assert stream.answer.content_type == "text/event-stream"
        assert stream.answer.headers["Cache-Control"] == "no-store"
        first = await stream.next()
        assert first is not None
        assert first[1:] == (
            "started",
            {
                "kind": "started",
                "from_number": "+14155550100",
                "to_number": "+14155550199",
                "at": "2026-11-21T12:00:00Z",
            },
        )
        flowed = MediaFlowed(stream_token_id="secret")
        await call.tells(flowed, turn(1), StageFallback(stage="webhook", reason="webhook_timeout"), ENDED)
        rest = await stream.rest()
    assert [name for _, name, _ in rest] == ["turn", "fallback", "ended"]
    assert rest[0][2]["turn"]["user_text"] == "a table\nfor four\r\r\n\ndata: x"
    ids = [int(number) for number, _, _ in [first, *rest]]
    assert ids == sorted(set(ids))
    assert len(site.app[VIEWERS]) == 0


async def test_what_is_told_is_shown_at_once(site: Site, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Woken by the event itself: none of the clocks is due."""
    monkeypatch.setattr(call_tail, "LOOK_ANYWAY_AFTER_S", 100.0)
    monkeypatch.setattr(events, "LOOK_EVERY_S", 100.0)
    await call.tells(STARTED)
    async with watching(site, call.path) as stream:
        for number in range(20):
            assert await stream.next(within_s=1) is not None
            await call.tells(turn(number))
        await call.tells(ENDED)
        assert (await stream.rest())[-1][1] == "ended"


async def test_what_woke_nobody_is_shown_too(site: Site, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_tail, "LOOK_ANYWAY_AFTER_S", 0.2)
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(call_tail.CallTail, "heard", lambda self, event: None)
    await call.tells(STARTED)
    async with watching(site, call.path) as stream:
        await stream.next()
        await call.tells(turn(1), ENDED)
        assert [name for _, name, _ in await stream.rest()] == ["turn", "ended"]


async def test_an_event_that_is_told_before_it_is_stored_is_read_again(
    site: Site, call: Call, stream: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a cluster: subscribers hear it a moment before the stream has it."""
    monkeypatch.setattr(call_tail, "LOOK_ANYWAY_AFTER_S", 100.0)
    monkeypatch.setattr(call_tail, "READ_AGAIN_AFTER_S", 0.02)
    await call.tells(STARTED)
    tail = call_tail.CallTail(site.app[BUS], call.id, 0, asyncio.Event())
    while await tail.next() is not None:
        pass
    late = call.event(turn(7), 1)
    tail.heard(late)
    assert tail.due and await tail.next() is None
    await call.again(late, "1")
    async with asyncio.timeout(2):
        await tail.wait(100)
    assert tail.due
    shown = await tail.next()
    assert shown is not None and shown[1] == late
    assert not tail.due


async def test_an_event_that_is_never_stored_is_not_asked_for_for_ever(
    site: Site, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_tail, "READ_AGAIN_AFTER_S", 0.001)
    tail = call_tail.CallTail(site.app[BUS], call.id, 0, asyncio.Event())
    tail.heard(call.event(ENDED, 0))
    for _ in range(call_tail.READ_AGAIN_TIMES + 1):
        assert await tail.next() is None
        if not tail.due:
            return
        await tail.wait(100)
    raise AssertionError("it still asks")


async def test_who_comes_back_goes_on_where_it_was(site: Site, call: Call) -> None:
    await call.tells(STARTED, turn(1))
    async with watching(site, call.path) as stream:
        first = await stream.next()
        second = await stream.next()
    assert first is not None and second is not None
    await call.tells(turn(2), turn(3))
    async with watching(site, call.path, after=second[0]) as stream:
        third = await stream.next()
        assert third is not None and third[2]["turn"]["number"] == 2
        await call.tells(ENDED)
        assert [name for _, name, _ in await stream.rest()] == ["turn", "ended"]
    async with watching(site, call.path, after=first[0]) as stream:
        assert [name for _, name, _ in await stream.rest()] == ["turn", "turn", "turn", "ended"]


async def test_many_who_come_and_go_see_everything_once(
    site: Site, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No gap and no duplicate, wherever a connection breaks."""
    # Those who have gone still have their seats for a moment.
    monkeypatch.setattr(viewers, "MOST_OF_A_CALL", 1000)

    async def sees_all() -> list[str]:
        after, seen = "", []
        while True:
            async with watching(site, call.path, after) as stream:
                for _ in range(secrets.randbelow(4) + 1):
                    shown = await stream.next()
                    assert shown is not None
                    after = shown[0]
                    seen.append(after)
                    if shown[1] == "ended":
                        return seen

    async def tells_all() -> None:
        for number in range(60):
            await call.tells(turn(number))
        await call.tells(ENDED)

    *seen, _ = await asyncio.gather(*(sees_all() for _ in range(8)), tells_all())
    assert len(seen[0]) == 61 and seen[0] == sorted(set(seen[0]), key=int)
    assert all(one == seen[0] for one in seen)
    await until(lambda: len(site.app[VIEWERS]) == 0)


async def test_what_was_told_twice_is_shown_once(site: Site, call: Call) -> None:
    await call.tells(STARTED)
    event = call.event(turn(1), 1)
    for message_id in ("a", "b", "b"):
        await call.again(event, message_id)
    await call.again(call.event(ENDED, 2), "c")
    async with watching(site, call.path) as stream:
        assert [name for _, name, _ in await stream.rest()] == ["started", "turn", "ended"]


async def test_what_cannot_be_read_is_passed_over(site: Site, call: Call, stream: Bus) -> None:
    await call.tells(STARTED)
    for junk in (b"", b"{", b"\xff"):
        await site.app[BUS].jetstream().publish(CALL_EVENT.of(call_id=call.id), junk)
    await call.tells(ENDED)
    async with watching(site, call.path) as shown:
        assert [name for _, name, _ in await shown.rest()] == ["started", "ended"]


async def test_usage_is_not_shown_and_nothing_is_waited_for_behind_it(
    site: Site, call: Call, api_router: ApiRouter
) -> None:
    """It is told when the call is over."""
    usage = UsageTold(seat="mouth", epoch=1025, number=1, last=True, used=[])
    await call.tells(STARTED, usage, ENDED, usage)
    async with watching(site, call.path) as stream:
        shown = await stream.rest()
    assert [name for _, name, _ in shown] == ["started", "ended"]
    api_router.answers(CALL_GET, call.detail(ended_at=AT))
    async with watching(site, call.path, after=shown[-1][0], status=204):
        pass


async def test_other_calls_are_not_shown(site: Site, call: Call) -> None:
    other = Call(site.app[BUS])
    await call.tells(STARTED)
    async with watching(site, call.path) as stream:
        await stream.next()
        await other.tells(turn(1), ENDED)
        await call.tells(turn(2), ENDED)
        rest = await stream.rest()
    assert [data.get("turn", {}).get("number") for _, _, data in rest] == [2, None]


async def test_nothing_more_will_come(site: Site, call: Call, api_router: ApiRouter) -> None:
    """204 tells an EventSource not to come back (WHATWG HTML, 9.2.3)."""
    await call.tells(STARTED, ENDED)
    api_router.answers(CALL_GET, call.detail(ended_at=AT))
    async with watching(site, call.path) as stream:
        last = (await stream.rest())[-1]
    assert last[1] == "ended"
    async with watching(site, call.path, after=last[0], status=204):
        assert len(site.app[VIEWERS]) == 0
    # Its events are older than the stream keeps them.
    api_router.answers(CALL_GET, Call(site.app[BUS]).detail(ended_at=AT))
    async with watching(site, Call(site.app[BUS]).path, status=204):
        pass


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "0x1", "1" * 19, "\u0661"])
async def test_an_id_that_is_not_ours(site: Site, call: Call, after: str) -> None:
    async with watching(site, call.path, after=after, status=400):
        assert len(site.app[VIEWERS]) == 0


async def test_an_id_of_a_stream_that_was_lost_begins_again(site: Site, call: Call) -> None:
    await call.tells(STARTED, ENDED)
    async with watching(site, call.path, after="1" * 18) as stream:
        assert [name for _, name, _ in await stream.rest()] == ["started", "ended"]


async def test_a_link_that_is_lost_ends_the_stream_and_nothing_is_missed(own_nats: Server) -> None:
    router = ApiRouter()
    async with (
        connect(url_for("call-router", own_nats), speaks_as="call-router") as bus,
        served(own_nats) as site,
    ):
        await ensure_memory(bus.jetstream(), 1)
        await router.listen(bus)
        call = Call(site.app[BUS])
        router.answers(CALL_GET, call.detail())
        await call.tells(STARTED)
        async with watching(site, call.path) as stream:
            first = await stream.next()
            assert first is not None
            own_nats.kill()
            assert await stream.rest() == []
        assert (await site.ask("GET", call.path))[0] == 503
        own_nats.start()
        await until(lambda: site.app[BUS].is_connected and bus.is_connected, within_s=10)
        await call.tells(turn(1), ENDED)
        async with watching(site, call.path, after=first[0]) as stream:
            assert [name for _, name, _ in await stream.rest()] == ["turn", "ended"]
