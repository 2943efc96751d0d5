"""Who watches a live call: only those who may, so many, and nothing is left of who goes."""

import asyncio
import socket
from contextlib import AsyncExitStack, suppress

import pytest

from callbot.gateway.api import events
from callbot.gateway.api.viewers import MOST_OF_A_CALL
from callbot.gateway.keys import BUS, CALLS, VIEWERS
from callbot.runtime.errors import Refused
from callbot.schemas.subjects import CALL_GET
from tests.servers import Server

from .api_site import ApiRouter, Site, served
from .live_events import AT, ENDED, STARTED, Call, turn, until, watching

pytestmark = pytest.mark.usefixtures("stream")


@pytest.mark.parametrize("code", ["call_not_found", "unauthorized", "unavailable"])
async def test_who_may_not_see_it_sees_nothing(
    site: Site, call: Call, api_router: ApiRouter, code: str
) -> None:
    await call.tells(STARTED)
    api_router.answers(CALL_GET, Refused(code, "No."))
    status, _, body = await site.ask("GET", call.path)
    assert (body["error"]["code"], status) in (
        ("call_not_found", 404),
        ("unauthorized", 401),
        ("unavailable", 503),
    )
    assert len(site.app[VIEWERS]) == 0


async def test_who_may_not_see_it_any_more_is_sent_away(
    site: Site, call: Call, api_router: ApiRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "ASK_AGAIN_AFTER_S", 0.1)
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.05)
    await call.tells(STARTED)
    async with watching(site, call.path) as stream:
        assert await stream.next() is not None
        await until(lambda: len(api_router.asked) > 2)
        api_router.answers(CALL_GET, Refused("unauthorized", "The key has been deleted."))
        assert await stream.rest() == []


async def test_a_call_that_ended_without_a_word_ends_the_stream(
    site: Site, call: Call, api_router: ApiRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "ASK_AGAIN_AFTER_S", 0.1)
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.05)
    await call.tells(STARTED)
    async with watching(site, call.path) as stream:
        assert await stream.next() is not None
        api_router.answers(CALL_GET, call.detail(ended_at=AT))
        assert await stream.rest() == []


async def test_a_quiet_call_has_a_heartbeat(site: Site, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.02)
    async with watching(site, call.path) as stream:
        shown = asyncio.create_task(stream.next())
        await until(lambda: stream.beats >= 3)
        await call.tells(ENDED)
        assert (await shown or ("", ""))[1] == "ended"


async def test_a_viewer_who_goes_leaves_nothing_behind(
    site: Site, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.05)
    before = dict(site.app[BUS]._client._subs)
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(f"GET {call.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n".encode())
        await until(lambda: len(site.app[VIEWERS]) == 1)
        writer.transport.abort()
        await until(lambda: len(site.app[VIEWERS]) == 0)
    assert site.app[BUS]._client._subs.keys() == before.keys()


async def test_a_viewer_who_reads_nothing_is_cut_off(
    site: Site, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "WRITE_WITHIN_S", 0.2)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", site.port))
        request = f"GET {call.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(deaf, request.encode())
        await until(lambda: len(site.app[VIEWERS]) == 1)
        for number in range(60):
            await call.tells(turn(number, "x" * 100_000))
        await until(lambda: len(site.app[VIEWERS]) == 0)
        # Its connection goes too, in the middle of what was still to be written.
        last = b""
        with suppress(ConnectionResetError):
            async with asyncio.timeout(5):
                while more := await asyncio.get_running_loop().sock_recv(deaf, 65536):
                    last = more
        assert last and not last.endswith(b"0\r\n\r\n")


async def test_there_is_room_for_so_many(api_nats: Server, api_router: ApiRouter) -> None:
    async with served(api_nats, max_event_streams=2) as site:
        call = Call(site.app[BUS])
        api_router.answers(CALL_GET, call.detail())
        async with watching(site, call.path), watching(site, call.path):
            status, headers, body = await site.ask("GET", call.path)
            assert (status, body["error"]["code"], headers["Retry-After"]) == (503, "unavailable", "5")
            await call.tells(ENDED)
            await until(lambda: len(site.app[VIEWERS]) == 0)
        async with watching(site, call.path) as stream:
            assert (await stream.rest())[0][1] == "ended"


async def test_nobody_takes_all_seats_with_one_call(api_nats: Server, api_router: ApiRouter) -> None:
    async with served(api_nats) as site, AsyncExitStack() as stack:
        call, other = Call(site.app[BUS]), Call(site.app[BUS])
        api_router.answers(CALL_GET, call.detail())
        for _ in range(MOST_OF_A_CALL):
            await stack.enter_async_context(watching(site, call.path))
        assert (await site.ask("GET", call.path))[0] == 503
        async with watching(site, other.path):
            assert len(site.app[VIEWERS]) == MOST_OF_A_CALL + 1


async def test_a_gateway_that_stops_sends_its_viewers_away(
    api_nats: Server, api_router: ApiRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.1)
    async with served(api_nats) as site:
        call = Call(site.app[BUS])
        api_router.answers(CALL_GET, call.detail())
        async with watching(site, call.path) as stream:
            await site.app.shutdown()
            assert await stream.rest() == []
        status, _, _ = await site.ask("GET", call.path)
        assert status == 503
    async with served(api_nats) as site, watching(site, call.path) as stream:
        site.app[CALLS].draining = True
        assert await stream.rest() == []
