import re

import pytest

from callbot.stt_worker.providers.deepgram_audio import CallClock, Outbox, Overflow, Pace
from callbot.stt_worker.providers.deepgram_words import Segment, Word, text_between


def taken(outbox: Outbox) -> list[tuple[int, bytes]]:
    return [outbox.take(10**6) for _ in iter(lambda: outbox.begin_ms, None)]


def test_frames_become_one_piece() -> None:
    outbox = Outbox()
    for at_ms in (0, 20, 40):
        outbox.put(at_ms, b"a" * 160)
    assert outbox.waiting_bytes == 480
    assert outbox.take(320) == (0, b"a" * 320)
    assert outbox.begin_ms == 40
    assert outbox.take(320) == (320, b"a" * 160)
    assert outbox.begin_ms is None
    assert outbox.waiting_bytes == 0


@pytest.mark.parametrize(
    ("second_ms", "wanted"),
    [
        (20, [(800, b"a" * 160 + b"b" * 160)]),
        (30, [(800, b"a" * 160 + b"\xff" * 80 + b"b" * 160)]),
        (10, [(800, b"a" * 160 + b"b" * 80)]),
        (0, [(800, b"a" * 160)]),
        (-50, [(800, b"a" * 160)]),
        (5000, [(800, b"a" * 160), (800 + 40_000, b"b" * 160)]),
    ],
)
def test_a_small_gap_is_silence_and_what_was_heard_is_dropped(
    second_ms: int, wanted: list[tuple[int, bytes]]
) -> None:
    outbox = Outbox()
    outbox.put(100, b"a" * 160)
    outbox.put(100 + second_ms, b"b" * 160)
    assert taken(outbox) == wanted


def test_what_has_been_sent_is_not_sent_again() -> None:
    outbox = Outbox()
    outbox.put(0, b"a" * 160)
    outbox.take(1000)
    outbox.put(0, b"a" * 160)
    assert outbox.begin_ms is None


def test_a_vendor_that_takes_nothing_does_not_fill_the_memory() -> None:
    outbox = Outbox()
    outbox.put(0, b"a" * 30_000 * 8)
    with pytest.raises(Overflow):
        outbox.put(30_000, b"a" * 30_000 * 8)


def test_a_live_call_is_not_slowed_down() -> None:
    pace = Pace(1.25)
    assert [pace.wait_s(at * 0.02, 20) for at in range(500)] == [0.0] * 500


def test_frames_that_come_in_heaps_are_not_slowed_down() -> None:
    pace = Pace(1.25)
    assert all(pace.wait_s(heap * 0.4, 20) == 0 for heap in range(50) for _ in range(20))


@pytest.mark.parametrize("speed", [1.25, 2.0])
def test_a_replay_is_never_faster_than_allowed(speed: float) -> None:
    pace, now_s = Pace(speed), 100.0
    for sent in range(0, 10_000, 20):
        now_s += pace.wait_s(now_s, 20)
        assert sent <= (now_s - 100) * 1000 * speed + 500 * speed + 20
    assert now_s - 100 == pytest.approx(10_000 / speed / 1000 - 0.5, abs=0.05)


def test_times_are_the_calls() -> None:
    clock = CallClock()
    assert (clock.sent_ms, clock.call_ms(1.0)) == (None, 0)
    clock.sent(8 * 5000, 8 * 2000)
    assert [clock.call_ms(at) for at in (0.0, 0.5, 2.0)] == [5000, 5500, 7000]
    clock.sent(8 * 7000, 8 * 1000)
    assert clock.call_ms(2.5) == 7500
    clock.sent(8 * 20_000, 8 * 1000)
    assert [clock.call_ms(at) for at in (2.999, 3.0, 3.5)] == [7999, 20_000, 20_500]
    assert clock.sent_ms == 21_000


def test_while_filler_is_sent_the_call_stands_still() -> None:
    clock = CallClock()
    clock.sent_filler(8000)
    clock.sent(8 * 100, 8000)
    clock.sent_filler(8000)
    clock.sent_filler(8000)
    clock.sent(8 * 1100, 8000)
    assert [clock.call_ms(at) for at in (0.5, 1.5, 2.5, 3.9, 4.5)] == [0, 600, 1100, 1100, 1600]
    assert clock.sent_ms == 2100


def segment(from_ms: int, *words: str, timed: bool = True) -> Segment:
    """Each word takes 100 ms."""
    placed = [Word(w, from_ms + 100 * i, from_ms + 100 * i + 100) for i, w in enumerate(words)]
    return Segment(from_ms, from_ms + 100 * len(words), " ".join(words), placed if timed else [])


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "wanted"),
    [
        (0, 10_000, "one two three four five"),
        (0, 300, "one two three"),
        (60, 10_000, "two three four five"),
        (40, 240, "one two"),
        (150, 550, "two three four"),
        (300, 1000, ""),
        (1000, 10_000, "four five"),
        (5000, 9000, ""),
    ],
)
def test_words_of_a_stretch(from_ms: int, to_ms: int, wanted: str) -> None:
    segments = [segment(0, "one", "two", "three"), segment(300), segment(1000, "four", "five")]
    cut = {550: "two three"}
    assert text_between(segments, from_ms, to_ms) == cut.get(to_ms, wanted)


def test_a_text_without_times_lies_where_its_middle_lies() -> None:
    segments = [segment(0, "one", "two", timed=False), segment(1000, "three", timed=False)]
    assert text_between(segments, 0, 900) == "one two"
    assert text_between(segments, 150, 2000) == "three"


def test_a_whole_text_keeps_its_own_spacing() -> None:
    text = Segment(0, 200, "こんにちは。", [Word("こんにち", 0, 100), Word("は。", 100, 200)])
    assert text_between([text], 0, 300) == "こんにちは。"
    assert re.fullmatch("こんにち", text_between([text], 0, 100))
