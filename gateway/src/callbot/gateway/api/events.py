"""`GET /v1/calls/{call_id}/events`: a live call as server-sent events (WHATWG HTML, section 9.2).

`event: started|turn|fallback|ended`, `id` the event's number in its stream, `data` the fact with `at`, on one
line. A client that comes back with `Last-Event-ID` goes on behind that event; 204 tells it that nothing more
will come. The stream ends behind `ended`, and whenever it may have missed something: the client comes back.
"""

import asyncio
import logging
import re
from dataclasses import dataclass

import orjson
from aiohttp import web
from pydantic import ValidationError

from callbot.gateway.api.call_tail import CallTail
from callbot.gateway.api.credentials import credential_of
from callbot.gateway.errors import NEVER_KEPT, ApiError, wrong
from callbot.gateway.keys import BUS, CALLS, VIEWERS
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError
from callbot.schemas.calls import CallDetail, CallEnded, CallEvent, CallRef, MediaFlowed
from callbot.schemas.subjects import CALL_EVENT, CALL_GET

ASK_WITHIN_S = 1.8
LOOK_EVERY_S = 1.0
"""Whether the viewer, the link and this gateway are still there."""
HEARTBEAT_S = 15.0
ASK_AGAIN_AFTER_S = 60.0
"""A key that was deleted, or a token that has run out, shows nothing more."""
WRITE_WITHIN_S = 10.0
LONGEST_S = 4.5 * 3600
"""Longer than any call."""
COME_BACK = b"retry: 1000\n\n"
HEARTBEAT = b": \n\n"
_EVENT_ID = re.compile(r"[0-9]{1,18}")
log = logging.getLogger(__name__)


async def call_events(request: web.Request) -> web.StreamResponse:
    question = _question(request)
    after = _last_event_id(request)
    bus = request.app[BUS]
    with request.app[VIEWERS].seat(question.call_id) as wake:
        call = await bus.ask(CALL_GET, question, timeout_s=ASK_WITHIN_S)
        tail = CallTail(bus, question.call_id, after, wake)
        listening = await bus.hear(CALL_EVENT, tail.heard, call_id=question.call_id)
        try:
            await tail.begin()
            first = await tail.next()
            if first is None and call.ended_at is not None:
                return web.Response(status=204, headers=NEVER_KEPT)
            view = View(request, bus, question, tail)
            await view.show_until_over(first)
            return view.response
        finally:
            await listening.stop()


@dataclass
class Clocks:
    """When the next of each is due, in seconds of the loop's clock."""

    heartbeat_s: float
    question_s: float
    end_s: float


class View:
    """One viewer of one call."""

    def __init__(self, request: web.Request, bus: Bus, question: CallRef, tail: CallTail) -> None:
        headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", **NEVER_KEPT}
        self.response = web.StreamResponse(headers=headers)
        self._request = request
        self._bus = bus
        self._question = question
        self._tail = tail

    async def show_until_over(self, first: tuple[int, CallEvent] | None) -> None:
        """Returns when nothing more will come, or nothing more can: the client then comes back."""
        try:
            await self.response.prepare(self._request)
            await self._write(COME_BACK)
            await self._show(first)
        except BusError as e:
            log.info("a view of a call ends", extra={"call_id": self._question.call_id, "reason": str(e)})
        except ConnectionError:
            log.debug("a viewer is gone", extra={"call_id": self._question.call_id})
        except TimeoutError:
            # It reads nothing: the socket's buffer, and ours, are full.
            if self._request.transport is not None:
                self._request.transport.abort()

    async def _show(self, found: tuple[int, CallEvent] | None) -> None:
        now_s = asyncio.get_running_loop().time
        clocks = Clocks(now_s() + HEARTBEAT_S, now_s() + ASK_AGAIN_AFTER_S, now_s() + LONGEST_S)
        while not self._over(now_s() > clocks.end_s):
            while found is not None:
                if await self._told(*found):
                    return
                clocks.heartbeat_s = now_s() + HEARTBEAT_S
                found = await self._tail.next()
            if now_s() >= clocks.question_s:
                clocks.question_s = now_s() + ASK_AGAIN_AFTER_S
                if (await self._call()).ended_at is not None and (found := await self._tail.next()) is None:
                    return
                continue
            if now_s() >= clocks.heartbeat_s:
                clocks.heartbeat_s = now_s() + HEARTBEAT_S
                await self._write(HEARTBEAT)
            await self._tail.wait(LOOK_EVERY_S)
            found = await self._tail.next() if self._tail.due else None

    def _over(self, too_long: bool) -> bool:
        """Raises TimedOut: the bus is away."""
        self._bus.require_link()
        app, transport = self._request.app, self._request.transport
        gone = transport is None or transport.is_closing()
        return gone or too_long or app[VIEWERS].stopping or app[CALLS].draining

    async def _call(self) -> CallDetail:
        return await self._bus.ask(CALL_GET, self._question, timeout_s=ASK_WITHIN_S)

    async def _told(self, number: int, event: CallEvent) -> bool:
        """True after the last one."""
        if not isinstance(event.fact, MediaFlowed):
            dumped = event.model_dump(mode="json", include={"at", "fact"})
            data = orjson.dumps({**dumped["fact"], "at": dumped["at"]}).decode()
            await self._write(f"id: {number}\nevent: {event.fact.kind}\ndata: {data}\n\n".encode())
        return isinstance(event.fact, CallEnded)

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(WRITE_WITHIN_S):
            await self.response.write(data)


def _question(request: web.Request) -> CallRef:
    credential = credential_of(request)
    try:
        return CallRef(credential=credential, call_id=request.match_info["call_id"])
    except ValidationError as e:
        raise ApiError(404, "call_not_found", "There is no such call.") from e


def _last_event_id(request: web.Request) -> int:
    told = request.headers.get("Last-Event-ID", "")
    if told and not _EVENT_ID.fullmatch(told):
        raise wrong("Last-Event-ID", "is not one of ours")
    return int(told or 0)
