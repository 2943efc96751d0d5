"""One trace a turn over all services, hung together by NATS headers (W3C Trace Context and Baggage).

A turn's trace id and the id of its root come from the turn's id, so that a stage may be recorded before the
turn is opened: the model that thinks ahead, the ears that are still listening. A stage is recorded when it is
over, with the times it really had. Off, which is the default, nothing of this costs more than a look at None.
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from nats.aio.msg import Msg

from callbot.schemas.message import CALL_ID_PATTERN

Value = str | bool | int | float
Kind = Literal["internal", "consumer"]
Deliver = Callable[[Msg], Awaitable[None]]

TRACEPARENT: Final = "traceparent"
BAGGAGE: Final = "baggage"
_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.DOTALL)
_ABOUT = CALL_ID_PATTERN.strip("^$") + r"(?:\.\d{1,9})?"
_SUBJECT = re.compile(rf"callbot\.about=({_ABOUT})(?:[,;].*)?", re.DOTALL)
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class Place:
    """A span that others may stand below."""

    trace_id: int
    span_id: int
    about: str
    """The turn's id (`{call_id}.{number}`), or the call's where the trace is the whole call's."""

    @property
    def call_id(self) -> str:
        return self.about.partition(".")[0]

    @property
    def turn_id(self) -> str:
        """Empty in the trace of a whole call."""
        return self.about if "." in self.about else ""


@dataclass(frozen=True, slots=True)
class Finished:
    """A span that is over. Times are nanoseconds since 1970."""

    name: str
    place: Place
    parent: Place | None
    start_ns: int
    end_ns: int
    kind: Kind
    attributes: Mapping[str, Value]
    link: Place | None
    failed: bool


class Sink(Protocol):
    """Where spans go. Must be quick, and raise nothing."""

    share: float
    """Of the calls that are traced, 0 to 1."""
    show_pii: bool

    def emit(self, span: Finished) -> None: ...


@dataclass(slots=True)
class Told:
    """What the answer to a question said of the trace that it belongs to."""

    place: Place | None = None


_sink: Sink | None = None
_current: ContextVar[Place | None] = ContextVar("callbot_trace", default=None)
_told: ContextVar[Told | None] = ContextVar("callbot_trace_told", default=None)
_NOWHERE: AbstractContextManager[None] = nullcontext()


def switch(sink: Sink | None) -> None:
    """Before the bus is connected: what is subscribed while tracing is off stays without."""
    global _sink
    _sink = sink


def is_on() -> bool:
    return _sink is not None


def sampled(call_id: str, share: float) -> bool:
    """The same in every service and at any time: a call is traced as a whole or not at all."""
    digest = hashlib.blake2b(call_id.encode(), digest_size=8, person=b"callbot.sample").digest()
    return int.from_bytes(digest) < share * 2**64


def root_of(about: str) -> Place | None:
    """The root of a turn's trace, or of a call's; None where this call is not traced."""
    if _sink is None or not sampled(about.partition(".")[0], _sink.share):
        return None
    digest = hashlib.blake2b(about.encode(), digest_size=24, person=b"callbot.trace").digest()
    return Place(int.from_bytes(digest[:16]), int.from_bytes(digest[16:]), about)


def trace_id_of(about: str) -> str | None:
    """32 hex digits: for exemplars, and to find a turn's trace. None where this call is not traced."""
    place = root_of(about)
    return f"{place.trace_id:032x}" if place else None


def current() -> Place | None:
    return _current.get() if _sink is not None else None


def about(turn_or_call_id: str) -> AbstractContextManager[None]:
    """What is said and begun inside belongs to this turn or call."""
    return _NOWHERE if _sink is None else _standing(root_of(turn_or_call_id))


def at(place: Place | None) -> AbstractContextManager[None]:
    """As it was where `current` was asked for: for work that goes on in another task."""
    return _NOWHERE if _sink is None else _standing(place)


def join(turn_or_call_id: str) -> None:
    """Until the end of this task: the answer that it gives says so to whoever has asked."""
    if _sink is not None:
        _current.set(root_of(turn_or_call_id))


def facts_for_logs() -> dict[str, str]:
    """Which trace a line belongs to that is logged now."""
    place = _current.get() if _sink is not None else None
    if place is None:
        return {}
    told = {"call_id": place.call_id, "trace_id": f"{place.trace_id:032x}"}
    return {**told, "turn_id": place.turn_id} if place.turn_id else told


@contextmanager
def _standing(place: Place | None) -> Iterator[None]:
    token = _current.set(place)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def span(name: str, **facts: Value | None) -> Iterator[dict[str, Value | None]]:
    """A stage of the current trace, as long as the block; what is told inside it stands below it.

    Yields its facts, to be added to.
    """
    above = current()
    if above is None:
        yield facts
        return
    place = Place(above.trace_id, _new_span_id(), above.about)
    start_ns, failed = time.time_ns(), True
    token = _current.set(place)
    try:
        yield facts
        failed = False
    except asyncio.CancelledError:
        # The caller has spoken on, or the call is over: nothing has failed.
        facts["cancelled"], failed = True, False
        raise
    finally:
        _current.reset(token)
        _emit(name, place, above, start_ns, time.time_ns(), facts, failed=failed)


def record(
    name: str,
    start_ns: float,
    end_ns: float,
    *,
    below: Place | None = None,
    kind: Kind = "internal",
    failed: bool = False,
    **facts: Value | None,
) -> Place | None:
    """A stage that is over, below `below` or the root of the current trace. Returns its place."""
    if _sink is None:
        return None
    if below is None:
        here = _current.get()
        below = root_of(here.about) if here else None
    if below is None:
        return None
    place = Place(below.trace_id, _new_span_id(), below.about)
    _emit(name, place, below, start_ns, end_ns, facts, kind=kind, failed=failed)
    return place


def record_root(name: str, start_ns: float, end_ns: float, about: str, **facts: Value | None) -> Place | None:
    """The root of a turn's trace, with a link to its call's; or of a call's. Returns its place."""
    place = root_of(about)
    if place is not None:
        link = root_of(place.call_id) if place.turn_id else None
        _emit(name, place, None, start_ns, end_ns, facts, link=link)
    return place


def _emit(
    name: str,
    place: Place,
    parent: Place | None,
    start_ns: float,
    end_ns: float,
    facts: Mapping[str, Value | None],
    *,
    kind: Kind = "internal",
    link: Place | None = None,
    failed: bool = False,
) -> None:
    if _sink is None:
        return
    attributes: dict[str, Value] = {"callbot.call_id": place.call_id}
    if place.turn_id:
        attributes["callbot.turn_id"] = place.turn_id
    for key, value in facts.items():
        if value is None or (key.startswith("pii_") and not _sink.show_pii):
            continue
        attributes[key.replace("pii_", "pii.", 1) if key.startswith("pii_") else f"callbot.{key}"] = value
    start, end = int(start_ns), int(max(start_ns, end_ns))
    _sink.emit(Finished(name, place, parent, start, end, kind, attributes, link, failed))


def _new_span_id() -> int:
    return secrets.randbits(64) or 1


def ns_of(clock_ms: float) -> int:
    """Nanoseconds since 1970 of a moment on this process's monotonic clock."""
    return time.time_ns() - int((time.monotonic() * 1000 - clock_ms) * 1_000_000)


def headers() -> dict[str, str] | None:
    """For a message that is told now; None where it belongs to no trace."""
    place = _current.get() if _sink is not None else None
    if place is None:
        return None
    parent = f"00-{place.trace_id:032x}-{place.span_id:016x}-{_SAMPLED:02x}"
    return {TRACEPARENT: parent, BAGGAGE: f"callbot.about={place.about}"}


def place_in(told: Mapping[str, str] | None) -> Place | None:
    """What the headers of a message say; None for none, for what is not sampled and for what is malformed."""
    if not told or _sink is None:
        return None
    parent = _PARENT.fullmatch(told.get(TRACEPARENT, ""))
    subject = _SUBJECT.fullmatch(told.get(BAGGAGE, ""))
    if parent is None or subject is None or not int(parent[3], 16) & _SAMPLED:
        return None
    trace_id, span_id = int(parent[1], 16), int(parent[2], 16)
    return Place(trace_id, span_id, subject[1]) if trace_id and span_id else None


def restoring(deliver: Deliver) -> Deliver:
    """A message is handled in the trace that its headers name, or in none."""
    if _sink is None:
        return deliver

    async def deliver_there(msg: Msg) -> None:
        with _standing(place_in(msg.headers)):
            await deliver(msg)

    return deliver_there


@contextmanager
def hearing_answers() -> Iterator[Told]:
    """Around a question whose answer says what trace it belongs to."""
    told = Told()
    token = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(token)


def answered(told: Mapping[str, str] | None) -> None:
    """The headers of an answer: for `hearing_answers`."""
    waits = _told.get() if _sink is not None else None
    if waits is not None:
        waits.place = place_in(told)
