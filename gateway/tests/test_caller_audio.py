"""Frames of any length in, 20 ms frames out, kept until settled."""

from hypothesis import given
from hypothesis import strategies as st

from callbot.gateway.caller_audio import KEEP_FRAMES, CallerFrames


@given(st.lists(st.binary(max_size=700), max_size=30))
def test_whatever_the_lengths_no_byte_is_lost_and_frames_are_numbered(pieces: list[bytes]) -> None:
    frames = CallerFrames()
    cut = [f for p in pieces for f in frames.cut(p, 0)]
    joined = b"".join(pieces)
    assert b"".join(f.payload for f in cut) == joined[: len(joined) // 160 * 160]
    assert [f.seq for f in cut] == list(range(len(cut)))
    assert all(len(f.payload) == 160 for f in cut)


def test_settled_frames_are_forgotten_and_others_found_by_number() -> None:
    frames = CallerFrames()
    for i in range(100):
        frames.cut(bytes([i]) * 160, i * 20)
    frames.settle(40)
    assert frames.keep_from_seq == 40
    assert frames.get(39) is None
    found = frames.get(40)
    assert found is not None and found.payload[0] == 40
    assert frames.get(100) is None


def test_no_more_than_thirty_seconds_are_kept() -> None:
    frames = CallerFrames()
    frames.cut(b"\xff" * 160 * (KEEP_FRAMES + 500), 0)
    assert frames.keep_from_seq == 500


def test_a_position_in_the_stream_is_a_time_of_arrival() -> None:
    frames = CallerFrames()
    for i in range(10):
        frames.cut(b"\xff" * 160, 1000 + i * 20)
    assert frames.arrived_at_ms(100, 0) == 1100
    frames.settle(8)
    assert frames.arrived_at_ms(100, 0) == 1100
    assert frames.arrived_at_ms(9999, 0) == 1180
    assert CallerFrames().arrived_at_ms(20, 77) == 77
