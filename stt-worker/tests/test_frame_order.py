"""Frames that come late, twice, or not at all."""

from callbot.schemas.audio import FRAME_BYTES, SILENCE_BYTE
from callbot.stt_worker.frame_order import WAIT_FRAMES, FrameOrder

SILENCE = bytes([SILENCE_BYTE]) * FRAME_BYTES


def frame(seq: int) -> bytes:
    return bytes([seq]) * FRAME_BYTES


def test_what_was_missing_takes_its_place_when_it_comes() -> None:
    order = FrameOrder(7)
    assert order.take(7, frame(7)) == frame(7)
    assert order.take(10, frame(10)) == b""
    assert (order.missing_from_seq, order.asks) == (8, True)
    assert order.take(11, frame(11)) == b""
    assert not order.asks
    assert order.take(8, frame(8)) == frame(8)
    assert order.missing_from_seq == 9
    assert order.take(9, frame(9)) == frame(9) + frame(10) + frame(11)
    assert (order.missing_from_seq, order.asks) == (None, False)


def test_a_frame_that_was_heard_is_not_heard_again() -> None:
    order = FrameOrder(0)
    assert order.take(0, frame(0)) == frame(0)
    assert order.take(0, frame(9)) == b""
    assert order.take(2, frame(2)) == b""
    assert order.take(2, frame(9)) == b""
    assert order.take(1, frame(1)) == frame(1) + frame(2)


def test_what_never_comes_is_silence_in_the_end() -> None:
    order = FrameOrder(0)
    asked = 0
    for seq in range(2, WAIT_FRAMES + 2):
        assert order.take(seq, frame(seq)) == b""
        asked += order.asks
    assert asked == 5
    audio = order.take(WAIT_FRAMES + 2, frame(WAIT_FRAMES + 2))
    assert audio == SILENCE * 2 + b"".join(map(frame, range(2, WAIT_FRAMES + 3)))
    assert order.missing_from_seq is None


def test_a_frame_of_another_length_is_cut_or_filled() -> None:
    order = FrameOrder(0)
    assert order.take(0, b"\x01") == b"\x01" + SILENCE[1:]
    assert order.take(1, frame(1) + b"\x01") == frame(1)
