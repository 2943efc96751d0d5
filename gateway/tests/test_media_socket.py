"""A media stream at the gateway's site: how it begins to be a call, and what ends it from elsewhere."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from callbot.gateway.keys import BUS
from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import Refused
from callbot.schemas.calls import AdmitStream, CallBrief, CallEnded, CallEvent
from callbot.schemas.subjects import CALL_ADMIT, CALL_EVENT
from tests.samples import a_brief

from .api_site import Site
from .live_events import AT

TOKEN = "a good token"


@pytest.fixture
async def admitting(stream: Bus) -> AsyncIterator[Listening]:
    """call-router lets in who shows the token."""

    async def admit(question: AdmitStream) -> CallBrief:
        if question.token != TOKEN:
            raise Refused("invalid_token", "no")
        return a_brief(call_id=question.call_id, bot_id=question.bot_id)

    listening = await stream.answer(CALL_ADMIT, admit)
    await stream.flush()
    yield listening
    await listening.stop()


@asynccontextmanager
async def streamed(
    site: Site, call_id: str, token: str = TOKEN
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with site.http.ws_connect("/v1/voice/stream/bot_1") as line:
        start = {"callSid": call_id, "customParameters": {"token": token}}
        await line.send_json({"event": "start", "streamSid": "MZ1", "start": start})
        yield line


async def heard(bus: Bus, call_id: str, kind: str) -> tuple[Listening, asyncio.Event]:
    found = asyncio.Event()

    def hear(event: CallEvent) -> None:
        if event.fact.kind == kind:
            found.set()

    listening = await bus.hear(CALL_EVENT, hear, call_id=call_id)
    await bus.flush()
    return listening, found


async def closed(line: aiohttp.ClientWebSocketResponse, within_s: float = 3) -> bool:
    try:
        async with asyncio.timeout(within_s):
            async for _ in line:
                continue
    except TimeoutError:
        return False
    return True


@pytest.mark.usefixtures("admitting")
async def test_a_call_that_is_told_to_be_over_has_no_stream_any_more(site: Site, stream: Bus) -> None:
    """Its user's place for a live call is free then: what goes on would be one call too many."""
    call_id = "CA" + secrets.token_hex(16)
    listening, began = await heard(stream, call_id, "started")
    async with streamed(site, call_id) as line, asyncio.timeout(10):
        await began.wait()
        ended = CallEvent(
            event_id=f"{call_id}.1.1000000",
            call_id=call_id,
            bot_id="bot_1",
            user_id="public",
            at=AT,
            fact=CallEnded(reason="line_lost", duration_ms=1),
        )
        await site.app[BUS].tell(CALL_EVENT, ended, call_id=call_id)
        assert await closed(line)
    await listening.stop()


@pytest.mark.usefixtures("admitting")
async def test_what_a_stranger_calls_itself_does_not_fill_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with streamed(site, "CA" + "x" * 50_000) as line:
            assert await closed(line)
    (told,) = (record for record in caplog.records if record.message == "stream rejected")
    assert len(str(vars(told)["call_id"])) <= 64
