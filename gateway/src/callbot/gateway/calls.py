"""All live calls of one gateway: one clock for them, and the way out when the gateway stops."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import WSCloseCode, web

from callbot.gateway.call_metrics import ROOM, TICK_LATE
from callbot.gateway.live_call import LiveCall, Platform

log = logging.getLogger(__name__)
TICK_S = 0.04
SLICES = 4
"""Of the calls, one after the other: all of them at once would hold up everybody's frames."""
WATCHED_EVERY = 2
"""Ticks: audio is due with each, whatever else has a deadline can wait for the next."""
STALLED_AFTER_S = 0.3
"""A tick that is this late means that the process slept: missing beats prove nothing then."""
FORGET_BEATS_EVERY_TICKS = 4000


class Calls:
    def __init__(self, platform: Platform, room: int) -> None:
        self.platform = platform
        self.room = room
        ROOM.set(room)
        self._live: dict[str, LiveCall] = {}
        self._opening: set[web.WebSocketResponse] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._live)

    @property
    def full(self) -> bool:
        return len(self._live) >= self.room

    def has_room_for(self, call_id: str) -> bool:
        """A newer stream of a call that lives here takes the place of the older.

        Also while this gateway drains: whoever has reached it is served, for nobody knows whether Twilio asks
        again when a handshake fails.
        """
        return call_id in self._live or not self.full

    @contextmanager
    def opening(self, socket: web.WebSocketResponse) -> Iterator[None]:
        """Until `opened`, or the end of the block: the socket may become a call, which a drain waits for."""
        self._opening.add(socket)
        self._empty.clear()
        try:
            yield
        finally:
            self._opening.discard(socket)
            self._settle()

    def opened(self, socket: web.WebSocketResponse) -> None:
        """Its call has been added."""
        self._opening.discard(socket)

    async def add(self, call: LiveCall) -> None:
        """A second stream of the same call replaces the first."""
        older = self._live.pop(call.brief.call_id, None)
        self._live[call.brief.call_id] = call
        self._empty.clear()
        if older is not None:
            await older.abandon()

    def remove(self, call: LiveCall) -> None:
        if self._live.get(call.brief.call_id) is call:
            del self._live[call.brief.call_id]
        self._settle()

    def _settle(self) -> None:
        if not self._live and not self._opening:
            self._empty.set()

    async def tick_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        due_at_s = loop.time()
        ticks = 0
        while True:
            await asyncio.sleep(max(0.0, due_at_s - loop.time()))
            late_s = loop.time() - due_at_s
            TICK_LATE.observe(max(0.0, late_s))
            due_at_s = max(due_at_s + TICK_S / SLICES, loop.time())
            ticks += 1
            if ticks % FORGET_BEATS_EVERY_TICKS == 0:
                self.platform.beats.forget_old()
            stalled = late_s > STALLED_AFTER_S
            for number, call in enumerate(list(self._live.values()), ticks):
                if not stalled and number % SLICES:
                    continue
                try:
                    call.tick(stalled=stalled, watching=stalled or number // SLICES % WATCHED_EVERY == 0)
                except Exception:
                    log.exception("a call's tick failed", extra={"call_id": call.brief.call_id})

    async def drain(self, within_s: float) -> None:
        """Wait for the calls to end; what lives on after that goes on at another gateway.

        So does what has not become a call by then: its socket is closed with 1012 (service restart), and
        Twilio asks `/v1/voice/next`.
        """
        self.draining = True
        try:
            await asyncio.wait_for(self._empty.wait(), within_s)
        except TimeoutError:
            live, opening = list(self._live.values()), list(self._opening)
            log.warning("calls move to another gateway", extra={"calls": len(live), "opening": len(opening)})
            await asyncio.gather(
                *(call.abandon() for call in live),
                *(socket.close(code=WSCloseCode.SERVICE_RESTART) for socket in opening),
            )
