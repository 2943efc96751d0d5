"""The parts of the density bench that need no platform."""

import base64
import os
import time

import pytest

from callbot.schemas.audio import FRAME_BYTES
from callbot.schemas.text_audio import texts_in
from callbot.studio.bench.density import CYCLE_MS, WORDS, callers_frames, nats_urls
from callbot.studio.bench.density_call import FrameReader, PlayoutClock, text_frame
from callbot.studio.bench.density_score import (
    Times,
    carried,
    core_ms,
    decision,
    of_services,
    print_costs,
    what_is_wrong,
)
from callbot.studio.bench.processor_time import main_thread_s, seconds_in, used_s
from callbot.studio.up import PlatformFailed

GOOD = {
    "calls": 40,
    "seconds": 10.0,
    "failed": 0,
    "lost": 0,
    "dropped": 0,
    "caller_ms": {"p99": 19.9},
    "bot_ms": {"p99": 20.0},
    "sent_late_ms": {"p99": 1.0},
    "cpu_s": {"gateway-1": 0.6, "gateway-2": 0.2, "nats-1": 0.4, "stt-worker's other threads-1": 0.4},
}


def test_times_of_several_processes_are_one_distribution() -> None:
    one, other = Times(), Times()
    one.add(1.04, 97)
    other.add(7.0, 2)
    other.add(30.0)
    both = Times.of([one.written(), other.written()])
    assert both.told() == {"p50": 1.0, "p99": 7.0, "max": 30.0, "n": 100}
    assert Times().told() == {"p50": 0.0, "p99": 0.0, "max": 0.0, "n": 0}


def test_processor_time_of_a_process_with_a_strange_name() -> None:
    stat = "7 (a (strange) name) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 3 4 20 0 1 0 5 6 7"
    assert seconds_in(stat) == 300 / os.sysconf("SC_CLK_TCK")


def test_processor_time_of_this_process_is_what_python_says() -> None:
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    before_s = time.process_time()
    told_s = used_s(os.getpid())
    assert before_s - 2 * tick_s <= told_s <= time.process_time() + 2 * tick_s
    assert 0 < main_thread_s(os.getpid()) <= told_s + tick_s


@pytest.mark.parametrize(
    ("change", "tries", "expected"),
    [
        ({}, 1, "up"),
        ({"sent_late_ms": {"p99": 50.0}}, 1, "up"),
        ({"lost": 1}, 1, "stop"),
        ({"dropped": 1}, 1, "stop"),
        ({"failed": 1}, 1, "stop"),
        ({"caller_ms": {"p99": 20.1}}, 1, "stop"),
        ({"bot_ms": {"p99": 20.1}}, 1, "stop"),
        ({"bot_ms": {"p99": 20.1}, "sent_late_ms": {"p99": 5.1}}, 2, "again"),
        ({"bot_ms": {"p99": 20.1}, "sent_late_ms": {"p99": 5.1}}, 3, "stop"),
    ],
)
def test_steps_go_up_until_something_is_wrong(change: dict[str, object], tries: int, expected: str) -> None:
    row = {**GOOD, **change}
    assert decision(row, tries) == expected
    assert bool(what_is_wrong(row)) == (expected != "up")


def test_costs_are_those_of_the_highest_step_that_was_carried(capsys: pytest.CaptureFixture[str]) -> None:
    best = carried([{**GOOD, "calls": 20}, GOOD, {**GOOD, "calls": 60, "lost": 1}])
    assert best is not None and best["calls"] == 40
    assert of_services(core_ms(best)) == pytest.approx(
        {"gateway": 2.0, "nats": 1.0, "stt-worker's other threads": 1.0}
    )
    print_costs(best)
    told = capsys.readouterr().out
    assert "gateway + nats + VAD                        4.00" in told
    assert ["gateway", "2.00", "500"] in [line.split() for line in told.splitlines()]
    assert carried([{**GOOD, "failed": 1}]) is None


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
def test_a_stream_is_read_frame_by_frame_however_it_is_cut(piece: int) -> None:
    stream = b"\x81\x03abc" + b"\x81\x7e\x01\x2c" + b"m" * 300 + b"\x89\x00" + b"\x88\x02\x03\xe8"
    reader = FrameReader()
    found = [f for at in range(0, len(stream), piece) for f in reader.feed(stream[at : at + piece])]
    assert found == [(1, b"abc"), (1, b"m" * 300), (9, b""), (8, b"\x03\xe8")]


@pytest.mark.parametrize(("length", "head"), [(125, 6), (126, 8), (60_000, 8)])
def test_a_clients_frame_is_masked_with_zero(length: int, head: int) -> None:
    frame = text_frame("x" * length)
    assert frame[0] == 0x81 and frame[1] & 0x80
    assert frame[head - 4 : head] == b"\0\0\0\0" and frame[head:] == b"x" * length


def test_the_ear_is_dry_only_inside_a_sentence() -> None:
    playout = PlayoutClock()
    assert playout.media(1600, 10.0) == 0
    assert playout.media(1600, 10.1) == 0
    assert playout.media(800, 10.45) == pytest.approx(50)
    assert playout.mark() == pytest.approx(10.55)
    assert playout.media(800, 12.0) == 0
    playout.clear(12.01)
    assert playout.media(800, 12.5) == 0
    assert playout.media(800, 12.7) == pytest.approx(100)


def test_the_passwords_of_the_broker_are_found() -> None:
    config = 'port: 4222\nusers: [\n {\n  user: "gateway"\n  password: "a-b_c"\n }\n]\n'
    assert nats_urls(config) == {"gateway": "nats://gateway:a-b_c@127.0.0.1:4222"}
    with pytest.raises(PlatformFailed):
        nats_urls("port: 4222\n")


async def test_the_caller_says_words_that_the_scripted_recogniser_reads() -> None:
    frames = [base64.b64decode(frame) for frame in await callers_frames("energy")]
    assert {len(frame) for frame in frames} == {FRAME_BYTES} and len(frames) == CYCLE_MS // 20
    assert list(texts_in(b"".join(frames))) == [WORDS]
