"""Binary audio: what is encoded is decoded; what is malformed is MalformedAudio and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.schemas.audio import VERSION, BotAudio, CallerAudio, MalformedAudio

U16, U32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
CALLER = st.builds(
    CallerAudio, epoch=U16, seq=U32, at_ms=U32, payload=st.binary(max_size=160), replayed=st.booleans()
)
CHUNK = st.builds(
    BotAudio,
    epoch=U16,
    turn=U32,
    sentence=U32,
    offset=U32,
    payload=st.binary(max_size=4000),
    prepared=st.booleans(),
)
END = st.builds(BotAudio, epoch=U16, turn=U32, sentence=U32, offset=U32, payload=st.just(b""), total=U32)


@given(CALLER)
def test_caller_audio_round_trips(audio: CallerAudio) -> None:
    data = audio.encode()
    assert len(data) == 12 + len(audio.payload)
    assert CallerAudio.decode(data) == audio


@given(CHUNK | END)
def test_bot_audio_round_trips(audio: BotAudio) -> None:
    data = audio.encode()
    assert len(data) == 20 + len(audio.payload)
    assert BotAudio.decode(data) == audio


@pytest.mark.parametrize("kind", [CallerAudio, BotAudio])
@given(data=st.binary(max_size=60))
def test_any_bytes_are_audio_or_malformed(kind: type[CallerAudio] | type[BotAudio], data: bytes) -> None:
    good = len(data) >= kind.LAYOUT.size and data[0] == VERSION
    if good:
        assert kind.decode(data).payload == data[kind.LAYOUT.size :]
    else:
        with pytest.raises(MalformedAudio):
            kind.decode(data)


@given(CALLER, st.integers(0, 11))
def test_a_cut_header_is_malformed(audio: CallerAudio, size: int) -> None:
    with pytest.raises(MalformedAudio):
        CallerAudio.decode(audio.encode()[:size])


def test_the_layout_is_the_documented_one() -> None:
    caller = CallerAudio(epoch=0x0102, seq=0x03040506, at_ms=0x0708090A, payload=b"\xff", replayed=True)
    assert caller.encode() == bytes.fromhex("01 01 0102 03040506 0708090a ff")
    end = BotAudio(epoch=1, turn=2, sentence=3, offset=4, payload=b"", total=4)
    assert end.encode() == bytes.fromhex("01 01 0001 00000002 00000003 00000004 00000004")
