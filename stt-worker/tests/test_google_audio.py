"""What is kept of a call for Google, how fast it is sent, and where its offsets lie in the call."""

import numpy as np
import pytest

from callbot.stt_worker.providers.google_audio import BURST_MS, KEPT_MS, CallAudio, Pace, StreamClock

SILENCE = b"\xff" * 8
LOUD = bytes((0x30, 0x30, 0x30, 0x30, 0xB0, 0xB0, 0xB0, 0xB0))


def audio(*pieces: tuple[int, bytes]) -> CallAudio:
    made = CallAudio()
    for from_ms, piece in pieces:
        assert made.append(from_ms, piece)
    return made


def test_a_gap_is_silence_and_what_was_heard_is_not_taken_again() -> None:
    heard = audio((100, LOUD * 20), (140, LOUD * 20), (150, LOUD * 20))
    assert heard.end_ms == 170
    assert heard.between(100 * 8, 170 * 8) == LOUD * 20 + SILENCE * 20 + LOUD * 30


def test_rounded_positions_lose_no_byte() -> None:
    heard = audio((0, LOUD + b"\x01\x02"), (1, b"\x03\x04\x05"))
    assert heard.between(0, 99) == LOUD + b"\x01\x02\x03\x04\x05"


def test_after_a_long_gap_a_call_begins_anew() -> None:
    assert not audio((0, LOUD)).append(31_000, LOUD)


def test_not_all_of_a_call_is_kept() -> None:
    heard = audio(*((at, LOUD * 1000) for at in range(0, 60_000, 1000)))
    assert heard.end_ms == 60_000
    assert 60_000 - KEPT_MS - 6000 <= heard.begin // 8 <= 60_000 - KEPT_MS + 1000


@pytest.mark.parametrize(
    ("noise", "is_silent", "is_pause"),
    [(0.0, True, True), (0.002, True, True), (0.01, False, True), (0.2, False, False)],
    ids=["silence", "a good line", "a noisy line", "speech"],
)
def test_a_pause_is_quiet_by_what_was_before(noise: float, is_silent: bool, is_pause: bool) -> None:
    speech, after = (mulaw(np.random.default_rng(1).normal(0, level, 8000)) for level in (0.2, noise))
    heard = audio((0, speech + after))
    assert heard.is_silent(1100, 2000) is is_silent
    assert heard.is_pause(1900, 2000) is is_pause


def mulaw(samples: np.ndarray) -> bytes:
    from callbot.stt_worker import mulaw as table

    values = table.decode(bytes(range(256)))
    order = np.argsort(values, kind="stable")
    between = (values[order][1:] + values[order][:-1]) / 2
    return order[np.searchsorted(between, samples)].astype(np.uint8).tobytes()


def test_a_burst_goes_at_once_and_the_rest_a_little_faster_than_real_time() -> None:
    pace = Pace()
    sent_ms, now_s = 0, 100.0
    while sent_ms < BURST_MS + 10_000:
        now_s += pace.wait_s(now_s, 100)
        sent_ms += 100
    assert now_s - 100 == pytest.approx(8.0, abs=0.2)


def test_a_live_call_never_waits() -> None:
    pace = Pace()
    assert not any(pace.wait_s(20.0 + at / 10, 100) for at in range(3000))


def test_offsets_are_of_the_stream_and_lie_in_the_call() -> None:
    """A second of silence in the place of frames, then a jump of the call over its own silence."""
    clock = StreamClock()
    clock.sent_call(5000 * 8, 1000 * 8)
    clock.sent_filler(6000 * 8, 1000 * 8)
    clock.sent_call(6000 * 8, 500 * 8)
    clock.sent_call(9000 * 8, 500 * 8)
    assert clock.sent_ms == 3000
    assert [clock.end_ms(ms) for ms in (0, 400, 1000, 1500, 2200, 2500, 2700)] == [
        5000, 5400, 6000, 6000, 6200, 6500, 9200,
    ]  # fmt: skip
    assert clock.begin_ms(2500) == 9000
