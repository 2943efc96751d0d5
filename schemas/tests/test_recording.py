"""Recordings on their way: what is encoded is decoded; what is malformed is MalformedAudio."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.schemas.audio import MalformedAudio
from callbot.schemas.recording import (
    LONGEST_PIECE_MS,
    LONGEST_RECORDING_MS,
    PIECE_MS,
    RecordingPart,
    RecordingPiece,
    Track,
)

CALL_ID = "CA" + "0123456789abcdef" * 2
POSITION = st.integers(0, LONGEST_RECORDING_MS)
PIECE = st.builds(
    RecordingPiece,
    call_id=st.from_regex("CA[0-9a-f]{32}", fullmatch=True),
    generation=st.integers(0, 2**16 - 1),
    track=st.sampled_from(Track),
    at_ms=POSITION,
    stream_at_ms=POSITION,
    payload=st.binary(max_size=400),
)
PART = st.builds(RecordingPart, total_ms=st.integers(0, 2**32 - 1), payload=st.binary(max_size=400))


@given(PIECE)
def test_a_piece_round_trips(piece: RecordingPiece) -> None:
    data = piece.encode()
    assert len(data) == 46 + len(piece.payload)
    assert RecordingPiece.decode(data) == piece


@given(PART)
def test_a_part_round_trips(part: RecordingPart) -> None:
    data = part.encode()
    assert len(data) == 8 + len(part.payload)
    assert RecordingPart.decode(data) == part


@given(st.binary(max_size=80))
def test_any_bytes_are_a_piece_or_malformed(data: bytes) -> None:
    try:
        assert RecordingPiece.decode(data).encode() == data
    except MalformedAudio:
        return


@given(PIECE, st.integers(0, 45))
def test_a_cut_header_is_malformed(piece: RecordingPiece, size: int) -> None:
    with pytest.raises(MalformedAudio):
        RecordingPiece.decode(piece.encode()[:size])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(7),
        b"\x02" + bytes(45) + b"x",
        RecordingPiece(CALL_ID, 1, Track.BOT, 0, 0, b"").encode().replace(b"CA", b"CB"),
        b"\x01\x02" + RecordingPiece(CALL_ID, 1, Track.BOT, 0, 0, b"").encode()[2:],
        RecordingPiece(CALL_ID, 1, Track.BOT, LONGEST_RECORDING_MS + 1, 0, b"").encode(),
        RecordingPiece(CALL_ID, 1, Track.BOT, 0, 0, bytes(LONGEST_PIECE_MS * 8 + 1)).encode(),
    ],
    ids=["empty", "short", "version", "no call", "no track", "too late", "too long"],
)
def test_what_is_no_piece_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedAudio):
        RecordingPiece.decode(data)


def test_the_layout_is_the_documented_one() -> None:
    piece = RecordingPiece(CALL_ID, 0x0102, Track.BOT, 0x03040506, 0x0102, b"\xff")
    assert piece.encode() == bytes.fromhex("01 01 0102 03040506 00000102") + CALL_ID.encode() + b"\xff"
    assert RecordingPart(0x01020304, b"\x80\xff").encode() == bytes.fromhex("01 000000 01020304 80ff")


def test_a_piece_is_known_by_where_it_lies() -> None:
    piece = RecordingPiece(CALL_ID, 2, Track.BOT, PIECE_MS, 60_000, bytes(161))
    assert piece.message_id == f"{CALL_ID}.2.1.5000"
    assert piece.length_ms == 21
