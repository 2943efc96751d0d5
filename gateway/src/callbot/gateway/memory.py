"""What must be remembered, always behind the live call: its journal, and the events for its record."""

import asyncio
import logging
from collections import Counter, deque
from datetime import UTC, datetime

from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import ValidationError

from callbot.gateway.call_metrics import EVENTS_LOST, EVENTS_WAITING
from callbot.runtime import tracing
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError, TimedOut
from callbot.schemas.calls import CallBrief, CallEvent, CallFact, CallJournal, TurnDone
from callbot.schemas.memory import CALLS
from callbot.schemas.subjects import CALL_EVENT

log = logging.getLogger(__name__)
WRITE_WITHIN_S = 2.0
RETRY_AFTER_S = 0.5
EVENTS_KEPT = 10_000
EVENTS_OF_A_CALL_KEPT = 500


class JournalLost(Exception):
    """A newer generation of this call lives in another gateway."""


class Journals:
    """The bucket `calls`. Raises TimedOut or NatsError while it cannot be reached."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._bucket: KeyValue | None = None

    async def bucket(self) -> KeyValue:
        self._bus.require_link()
        if self._bucket is None:
            self._bucket = await self._bus.bucket(CALLS)
        return self._bucket

    async def read(self, call_id: str) -> tuple[CallJournal, int] | None:
        """The journal and its revision; None for a call that nobody knows."""
        async with asyncio.timeout(WRITE_WITHIN_S):
            try:
                entry = await (await self.bucket()).get(call_id)
            except KeyNotFoundError:
                return None
            except ConnectionError as e:
                raise TimedOut("a journal was not read") from e
        if entry.value is None or entry.revision is None:
            return None
        return CallJournal.decode(entry.value), entry.revision

    async def write(self, journal: CallJournal, revision: int | None) -> int:
        """Compare and set; returns the new revision. Raises KeyWrongLastSequenceError."""
        async with asyncio.timeout(WRITE_WITHIN_S):
            try:
                return await (await self.bucket()).update(
                    journal.brief.call_id, journal.encode(), last=revision
                )
            except ConnectionError as e:
                # nats-py lets the socket's own error through when a link breaks while it is written to.
                raise TimedOut("a journal was not written") from e


class JournalWriter:
    """Writes the newest state of one call; what was overtaken meanwhile is never written."""

    def __init__(self, journals: Journals, revision: int | None) -> None:
        self._journals = journals
        self._revision = revision
        self._newest: CallJournal | None = None
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failing = False

    def save(self, journal: CallJournal) -> None:
        self._newest = journal
        self._idle.clear()
        self._changed.set()

    async def settled(self, within_s: float) -> bool:
        """True when the newest state has been written."""
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Until cancelled. Raises JournalLost."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            journal = self._newest
            if journal is None:
                continue
            try:
                self._revision = await self._journals.write(journal, self._revision)
            except KeyWrongLastSequenceError:
                await self._catch_up(journal)
                self._changed.set()
            except (BusError, NatsError, TimeoutError) as e:
                if not self._failing:
                    reason = str(e) or type(e).__name__
                    log.warning("journal waits", extra={"call_id": journal.brief.call_id, "reason": reason})
                self._failing = True
                await asyncio.sleep(RETRY_AFTER_S)
                self._changed.set()
            else:
                self._failing = False
                if self._newest is journal:
                    self._idle.set()

    async def _catch_up(self, ours: CallJournal) -> None:
        """A write of ours that seemed lost may have arrived; a newer generation means that we are over."""
        try:
            stored = await self._journals.read(ours.brief.call_id)
        except (BusError, NatsError, TimeoutError, ValidationError) as e:
            log.warning("journal not read", extra={"call_id": ours.brief.call_id, "reason": str(e)})
            await asyncio.sleep(RETRY_AFTER_S)
            return
        if stored is None:
            self._revision = None
        elif stored[0].brief.generation > ours.brief.generation:
            raise JournalLost(ours.brief.call_id)
        else:
            self._revision = stored[1]


class EventLog:
    """Call events on their way to the stream, kept in memory while it cannot be reached."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: deque[CallEvent] = deque()
        self._waiting_of: Counter[str] = Counter()
        self._added = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        EVENTS_WAITING.set_function(lambda: len(self._waiting))

    def add(self, brief: CallBrief, number: int, fact: CallFact) -> None:
        event = CallEvent(
            event_id=f"{brief.call_id}.{brief.generation}.{number}",
            call_id=brief.call_id,
            bot_id=brief.bot_id,
            user_id=brief.user_id,
            generation=brief.generation,
            at=datetime.now(UTC),
            fact=fact,
        )
        if self._waiting_of[brief.call_id] >= EVENTS_OF_A_CALL_KEPT:
            # A call that makes more than can be stored loses its own events, not those of others.
            EVENTS_LOST.inc()
            log.error("event dropped, the call makes too many", extra={"call_id": brief.call_id})
            return
        if len(self._waiting) >= EVENTS_KEPT:
            EVENTS_LOST.inc()
            log.error("event dropped, too many wait", extra={"call_id": self._waiting[0].call_id})
            self._forget_first()
        self._waiting.append(event)
        self._waiting_of[brief.call_id] += 1
        self._empty.clear()
        self._added.set()

    async def settled(self, within_s: float) -> None:
        try:
            await asyncio.wait_for(self._empty.wait(), within_s)
        except TimeoutError:
            EVENTS_LOST.inc(len(self._waiting))
            log.error("events lost at the stop", extra={"events": len(self._waiting)})

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._added.wait()
            self._added.clear()
            while self._waiting:
                await self._store(self._waiting[0])
            self._empty.set()

    async def _store(self, event: CallEvent) -> None:
        try:
            with tracing.about(_about(event)):
                await self._bus.remember(
                    CALL_EVENT,
                    event,
                    message_id=event.event_id,
                    timeout_s=WRITE_WITHIN_S,
                    call_id=event.call_id,
                )
        except BusError as e:
            log.warning("event not stored yet", extra={"call_id": event.call_id, "reason": str(e)})
            await asyncio.sleep(RETRY_AFTER_S)
            return
        if self._waiting and self._waiting[0] is event:
            self._forget_first()

    def _forget_first(self) -> None:
        first = self._waiting.popleft()
        self._waiting_of[first.call_id] -= 1
        if not self._waiting_of[first.call_id]:
            del self._waiting_of[first.call_id]


def _about(event: CallEvent) -> str:
    """The turn or the call that it is told of."""
    fact = event.fact
    return f"{event.call_id}.{fact.turn.number}" if isinstance(fact, TurnDone) else event.call_id
