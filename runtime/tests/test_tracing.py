"""Traces: who is traced, what travels on the bus, what is told of a stage, and nothing when it is off."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import nats
import pytest
from pydantic import ValidationError

from callbot.runtime import tracing
from callbot.runtime.bus import Bus
from callbot.runtime.settings import ServiceSettings
from callbot.runtime.telemetry import JsonLines, about
from callbot.runtime.tracing import Finished
from callbot.schemas.audio import CallerAudio
from callbot.schemas.message import Receipt
from callbot.schemas.seats import Role, SeatMoved, SeatRenew
from callbot.schemas.subjects import CALLER_AUDIO, SEAT_MOVED, SEAT_RENEW
from tests.servers import Server, url_for

CALL = "CA" + "0" * 31 + "1"
TURN = f"{CALL}.3"
SECOND_NS = 1_000_000_000


@dataclass
class Sink:
    """Where stages go in these tests."""

    share: float = 1.0
    show_pii: bool = False
    spans: list[Finished] = field(default_factory=list)

    def emit(self, span: Finished) -> None:
        self.spans.append(span)


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    tracing.switch(sink)
    yield sink
    tracing.switch(None)


def test_the_share_of_calls_is_kept_and_a_larger_share_holds_the_smaller() -> None:
    calls = [f"CA{number:032x}" for number in range(2000)]
    assert not any(tracing.sampled(call, 0.0) for call in calls)
    assert all(tracing.sampled(call, 1.0) for call in calls)
    tenth = {call for call in calls if tracing.sampled(call, 0.1)}
    assert 150 < len(tenth) < 250
    assert tenth < {call for call in calls if tracing.sampled(call, 0.5)}


def test_every_service_makes_the_same_ids_of_a_turn_and_others_of_another(sink: Sink) -> None:
    one, again, other = tracing.root_of(TURN), tracing.root_of(TURN), tracing.root_of(f"{CALL}.4")
    assert one and one == again and other
    assert (one.trace_id, one.span_id) != (other.trace_id, other.span_id)
    assert tracing.trace_id_of(TURN) == f"{one.trace_id:032x}"
    sink.share = 0.0
    assert tracing.root_of(TURN) is None and tracing.trace_id_of(TURN) is None


def test_headers_bring_the_place_to_where_they_are_read(sink: Sink) -> None:
    assert tracing.headers() is None
    with tracing.about(TURN):
        here, told = tracing.current(), tracing.headers()
    assert told and tracing.place_in(told) == here
    assert tracing.current() is None


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "00-" + "1" * 31 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-00",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "nonsense",
    ],
)
def test_what_is_malformed_or_not_sampled_belongs_to_no_trace(sink: Sink, parent: str) -> None:
    good = "00-" + "1" * 32 + "-" + "1" * 16 + "-01"
    assert tracing.place_in({"traceparent": good, "baggage": f"callbot.about={TURN}"})
    assert tracing.place_in({"traceparent": parent, "baggage": f"callbot.about={TURN}"}) is None
    assert tracing.place_in({"traceparent": good, "baggage": "callbot.about=somebody"}) is None
    assert tracing.place_in({"traceparent": good}) is None


def test_a_stage_stands_below_the_one_around_it_and_a_recorded_one_below_the_turn(sink: Sink) -> None:
    root = tracing.root_of(TURN)
    with tracing.about(TURN):
        with tracing.span("outer", first=1) as facts:
            facts["second"] = "two"
            with tracing.span("inner"):
                pass
        tracing.record("beside", SECOND_NS, 2 * SECOND_NS)
    inner, outer, beside = sink.spans
    assert outer.parent == root == beside.parent and inner.parent == outer.place
    assert outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns
    ids = {"callbot.call_id": CALL, "callbot.turn_id": TURN}
    assert outer.attributes == {**ids, "callbot.first": 1, "callbot.second": "two"}
    assert (beside.start_ns, beside.end_ns) == (SECOND_NS, 2 * SECOND_NS)


def test_a_stage_that_raises_has_failed_and_one_that_ends_before_it_begins_lasts_no_time(sink: Sink) -> None:
    with tracing.about(TURN):
        with pytest.raises(KeyError), tracing.span("broken"):
            raise KeyError
        tracing.record("late", 2 * SECOND_NS, SECOND_NS)
    broken, late = sink.spans
    assert broken.failed and not late.failed
    assert late.start_ns == late.end_ns == 2 * SECOND_NS


async def test_a_stage_that_is_cancelled_says_so_and_has_not_failed(sink: Sink) -> None:
    begun = asyncio.Event()

    async def thinks() -> None:
        with tracing.about(TURN), tracing.span("answer"):
            begun.set()
            await asyncio.Event().wait()

    thinking = asyncio.create_task(thinks())
    await begun.wait()
    thinking.cancel()
    await asyncio.gather(thinking, return_exceptions=True)
    (answer,) = sink.spans
    assert answer.attributes["callbot.cancelled"] is True and not answer.failed


def test_a_turns_root_has_a_link_to_its_call_and_words_only_where_they_are_wanted(sink: Sink) -> None:
    tracing.record_root("turn", 0, 1, TURN, input="speech", pii_user_text="my card is 4111", nothing=None)
    sink.show_pii = True
    tracing.record_root("turn", 0, 1, TURN, pii_user_text="my card is 4111")
    silent, telling = sink.spans
    assert silent.parent is None and silent.link == tracing.root_of(CALL)
    assert set(silent.attributes) == {"callbot.call_id", "callbot.turn_id", "callbot.input"}
    assert telling.attributes["pii.user_text"] == "my card is 4111"


def test_a_moment_of_the_monotonic_clock_becomes_one_of_the_calendar() -> None:
    ago_ns = time.time_ns() - tracing.ns_of(time.monotonic() * 1000 - 5000)
    assert abs(ago_ns - 5 * SECOND_NS) < SECOND_NS


async def test_the_bus_carries_the_trace_both_ways_and_never_with_audio(
    sink: Sink, server: Server, buses: dict[str, Bus]
) -> None:
    seen: dict[str, tracing.Place | None] = {}
    heard = asyncio.Event()

    def on_moved(moved: SeatMoved) -> None:
        seen["told"] = tracing.current()
        heard.set()

    async def on_renew(ask: SeatRenew) -> Receipt:
        seen["asked"] = tracing.current()
        tracing.join(f"{CALL}.4")
        return Receipt()

    await buses["stt-worker"].hear(SEAT_MOVED, on_moved, call_id=CALL)
    await buses["gateway"].answer(SEAT_RENEW, on_renew, call_id=CALL)
    async with AsyncExitStack() as stack:
        spy = await nats.connect(url_for("stt-worker", server), inbox_prefix=b"_INBOX.stt-worker")
        stack.push_async_callback(spy.close)
        audio = await spy.subscribe(CALLER_AUDIO.of(call_id=CALL))
        await spy.flush()
        for bus in buses.values():
            await bus.flush()
        with tracing.about(TURN):
            await buses["gateway"].tell(SEAT_MOVED, SeatMoved(role=Role.EARS, epoch=1), call_id=CALL)
            await buses["gateway"].tell(CALLER_AUDIO, CallerAudio(1, 0, 0, b"\xff"), call_id=CALL)
            renew = SeatRenew(role=Role.EARS, epoch=1, worker_id="w")
            with tracing.hearing_answers() as told:
                await buses["stt-worker"].ask(SEAT_RENEW, renew, timeout_s=2, call_id=CALL)
            assert tracing.current() == tracing.root_of(TURN), "an answer moves nobody"
        await asyncio.wait_for(heard.wait(), 5)
        assert seen == {"told": tracing.root_of(TURN), "asked": tracing.root_of(TURN)}
        assert told.place == tracing.root_of(f"{CALL}.4")
        assert not (await audio.next_msg(timeout=5)).headers


async def test_a_message_without_a_trace_is_handled_in_none(sink: Sink, buses: dict[str, Bus]) -> None:
    """Also where the subscription was made in the middle of one."""
    seen: list[tracing.Place | None] = []
    heard = asyncio.Event()

    def on(moved: SeatMoved) -> None:
        seen.append(tracing.current())
        heard.set()

    with tracing.about(TURN):
        await buses["stt-worker"].hear(SEAT_MOVED, on, call_id=CALL)
    await buses["stt-worker"].flush()
    await buses["gateway"].tell(SEAT_MOVED, SeatMoved(role=Role.EARS, epoch=1), call_id=CALL)
    await asyncio.wait_for(heard.wait(), 5)
    assert seen == [None]


OFF = """
import sys
from callbot.runtime import tracing
from callbot.runtime.service import traces
from callbot.runtime.settings import ServiceSettings
from callbot.runtime.telemetry import JsonLines, about
import callbot.gateway.main, callbot.call_router.main
import callbot.stt_worker.main, callbot.dialog_worker.main, callbot.tts_worker.main
with traces(ServiceSettings(), "gateway"):
    with tracing.about("CA" + "0" * 32 + ".1"), tracing.span("nothing") as facts:
        assert tracing.headers() is None and tracing.current() is None
    assert tracing.record("nothing", 0, 1) is None
print(*sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""


def imported_by(**env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", OFF], env={**os.environ, **env}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_without_a_collector_the_sdk_is_not_even_imported() -> None:
    assert imported_by() == ""
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    assert imported_by(**nowhere, CALLBOT_TRACES_SAMPLE="0") == ""


def test_the_collectors_address_is_named_as_everywhere() -> None:
    base = ServiceSettings.model_validate({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"})
    assert base.traces_url == "http://collector:4318/v1/traces"
    whole = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://there/otlp"}
    assert ServiceSettings.model_validate(whole).traces_url == "https://there/otlp"
    assert ServiceSettings().traces_url == ""
    for wrong in ("collector:4317", "grpc://collector:4317", "http://"):
        with pytest.raises(ValidationError):
            ServiceSettings.model_validate({"OTEL_EXPORTER_OTLP_ENDPOINT": wrong})


def a_line() -> dict[str, str]:
    record = logging.makeLogRecord({"msg": "it happened", "stage": "llm"})
    return dict(json.loads(JsonLines("dialog-worker", show_pii=False).format(record)))


async def test_a_lines_ids_come_from_where_it_is_logged_tasks_and_trace_included(sink: Sink) -> None:
    with about(call_id=CALL):
        with about(turn_id=TURN):
            task = asyncio.create_task(asyncio.to_thread(a_line))
        outside = a_line()
    inside = await task
    assert (inside["call_id"], inside["turn_id"], inside["stage"]) == (CALL, TURN, "llm")
    assert outside["call_id"] == CALL and "turn_id" not in outside
    assert not {"call_id", "turn_id", "trace_id"} & a_line().keys()
    with tracing.about(TURN):
        traced = a_line()
    assert traced["trace_id"] == tracing.trace_id_of(TURN)
    assert (traced["call_id"], traced["turn_id"]) == (CALL, TURN)
