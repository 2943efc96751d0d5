"""The events of one call, each once and in their order, as the stream numbers them."""

import asyncio
import logging
from collections import deque

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from callbot.runtime.bus import Bus
from callbot.runtime.errors import TimedOut
from callbot.schemas.calls import CallEvent
from callbot.schemas.memory import CALL_EVENTS
from callbot.schemas.subjects import CALL_EVENT
from callbot.schemas.usage import UsageTold

READ_WITHIN_S = 1.5
READ_AGAIN_AFTER_S = 0.05
READ_AGAIN_TIMES = 40
"""A stream of several servers keeps an event a moment after it has been told."""
LOOK_ANYWAY_AFTER_S = 5.0
"""What was told while the link was renewed has woken nobody."""
IDS_REMEMBERED = 512
log = logging.getLogger(__name__)


class CallTail:
    """Reads on from one number. `heard` may be called at any time; `wake` is set whenever reading is due."""

    def __init__(self, bus: Bus, call_id: str, after: int, wake: asyncio.Event) -> None:
        self._bus = bus
        self._call_id = call_id
        self._after = after
        self._wake = wake
        self._seen: deque[str] = deque(maxlen=IDS_REMEMBERED)
        self._told: dict[str, int] = {}
        self._looked_at_s = 0.0

    def heard(self, event: CallEvent) -> None:
        """It has been told; it may not be stored yet."""
        if event.event_id not in self._seen and len(self._told) < IDS_REMEMBERED:
            self._told[event.event_id] = READ_AGAIN_TIMES
            self._wake.set()

    async def wait(self, within_s: float) -> None:
        """Until there may be something to read, or so long."""
        try:
            async with asyncio.timeout(READ_AGAIN_AFTER_S if self._told else within_s):
                await self._wake.wait()
        except TimeoutError:
            self._told = {told: times - 1 for told, times in self._told.items() if times > 1}

    @property
    def due(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        return self._wake.is_set() or bool(self._told) or now_s - self._looked_at_s >= LOOK_ANYWAY_AFTER_S

    async def begin(self) -> None:
        """A number that the stream has not reached is of a stream that was lost: all from its beginning.

        Raises TimedOut.
        """
        if self._after:
            try:
                info = await self._bus.jetstream(READ_WITHIN_S).stream_info(CALL_EVENTS.name)
            except NatsError as e:
                raise TimedOut(f"{CALL_EVENTS.name}: {type(e).__name__}") from e
            self._after = 0 if self._after > info.state.last_seq else self._after

    async def next(self) -> tuple[int, CallEvent] | None:
        """The next one that is stored, with its number; None when there is none yet. Raises TimedOut."""
        self._wake.clear()
        while (found := await self._stored()) is not None:
            self._after, data = found
            try:
                event = CallEvent.decode(data)
            except ValidationError:
                log.warning("an event that cannot be read is not shown", extra={"call_id": self._call_id})
                continue
            self._told.pop(event.event_id, None)
            # Usage is for the record, and comes when the call is over, too. The other: told again after the
            # stream's own time for duplicates was over.
            if not isinstance(event.fact, UsageTold) and event.event_id not in self._seen:
                self._seen.append(event.event_id)
                return self._after, event
        self._looked_at_s = asyncio.get_running_loop().time()
        return None

    async def _stored(self) -> tuple[int, bytes] | None:
        self._bus.require_link()
        try:
            found = await self._bus.jetstream(READ_WITHIN_S).get_msg(
                CALL_EVENTS.name,
                seq=self._after + 1,
                subject=CALL_EVENT.of(call_id=self._call_id),
                next=True,
            )
        except NotFoundError:
            return None
        except NatsError as e:
            raise TimedOut(f"{CALL_EVENTS.name}: {type(e).__name__}") from e
        if found.seq is None:
            raise TimedOut(f"{CALL_EVENTS.name}: a message without a number")
        return found.seq, found.data or b""
