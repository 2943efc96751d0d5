"""WAV files of several writers, cut anywhere."""

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.tts_worker.riff import MULAW, PCM, Format, MalformedRiff, RiffReader, samples_of

TELEPHONE = Format(MULAW, 1, 8000, 8)


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    size = len(content) if size is None else size
    return struct.pack("<4sI", name, size) + content + b"\0" * (len(content) % 2)


def fmt(tag: int = 7, rate_hz: int = 8000, bits: int = 8, more: bytes = b"\0\0") -> bytes:
    return chunk(
        b"fmt ", struct.pack("<HHIIHH", tag, 1, rate_hz, rate_hz * bits // 8, bits // 8, bits) + more
    )


def riff(*chunks: bytes) -> bytes:
    content = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", b"RIFF", len(content)) + content


SAMPLES = bytes(range(255))
FACT = chunk(b"fact", struct.pack("<I", len(SAMPLES)))
DATA = chunk(b"data", SAMPLES)
EXTENSION = struct.pack("<HHIH", 22, 8, 0, 7) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"


@pytest.mark.parametrize(
    "file",
    [
        riff(fmt(more=b""), DATA),
        riff(fmt(), FACT, DATA),
        riff(chunk(b"JUNK", b"odd"), fmt(), chunk(b"LIST", b"INFOISFT\x05\0\0\0data\0"), FACT, DATA),
        riff(fmt(), FACT, chunk(b"data", SAMPLES, 0xFFFFFFFF)),
        riff(fmt(), chunk(b"data", SAMPLES, 0)),
        riff(fmt(tag=0xFFFE, more=EXTENSION), DATA),
    ],
    ids=["44 bytes", "58 bytes", "other chunks", "streamed", "streamed, 0", "extensible"],
)
def test_samples_are_what_data_holds(file: bytes) -> None:
    form, samples = samples_of(file)
    assert form == TELEPHONE
    assert form.is_telephone
    # A stream's padding is not told from a sample.
    assert samples[: len(SAMPLES)] == SAMPLES


def test_what_follows_data_is_not_heard() -> None:
    assert samples_of(riff(fmt(), DATA, chunk(b"LIST", b"INFOISFT"))) == (TELEPHONE, SAMPLES)


def test_a_file_of_another_writer_is_read() -> None:
    written = io.BytesIO()
    with wave.open(written, "wb") as wav:
        wav.setparams((1, 2, 24000, 0, "NONE", ""))
        wav.writeframes(b"\1\2" * 100)
    assert samples_of(written.getvalue()) == (Format(PCM, 1, 24000, 16), b"\1\2" * 100)


@given(st.lists(st.integers(0, 400), max_size=6))
def test_pieces_may_be_cut_anywhere(cuts: list[int]) -> None:
    file = riff(chunk(b"JUNK", b"odd"), fmt(), FACT, DATA)
    reader = RiffReader()
    heard, before = b"", 0
    for cut in [*sorted(cuts), len(file)]:
        heard += reader.feed(file[before:cut])
        before = max(before, min(cut, len(file)))
        assert heard == b"" or reader.format == TELEPHONE
    reader.end()
    assert heard == SAMPLES


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        (b"", "before its samples"),
        (b"ID3\x04 and so on", "no RIFF"),
        (b"RIFF\0\0\0\0AVI LIST", "no RIFF"),
        (riff(DATA), "without a format"),
        (riff(chunk(b"fmt ", b"\7\0"), DATA), "too short a format"),
        (riff(fmt()), "before its samples"),
        (riff(fmt(), DATA)[:-20], "within its samples"),
        (riff(chunk(b"JUNK", b"", 0x7FFFFFFF), fmt(), DATA), "too long a header"),
    ],
)
def test_what_is_no_such_file_is_refused(file: bytes, wrong: str) -> None:
    with pytest.raises(MalformedRiff, match=wrong):
        samples_of(file)


@given(st.binary(max_size=200))
def test_nothing_else_is_raised(junk: bytes) -> None:
    for file in (junk, b"RIFF\0\0\0\0WAVE" + junk):
        try:
            form, samples = samples_of(file)
        except MalformedRiff:
            continue
        assert isinstance(form, Format)
        assert samples in file
