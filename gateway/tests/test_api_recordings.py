"""The recording of a call over HTTP: a WAV of the length that its header says, or an error that says why."""

import io
import struct
from collections.abc import AsyncIterator

import aiohttp
import pytest
import soundfile

from callbot.gateway.api.recordings import wav_header
from callbot.gateway.keys import DOWNLOADS
from callbot.runtime.bus import connect
from callbot.runtime.errors import Refused
from callbot.schemas.recording import LONGEST_PART_MS, CallRecordingPart, RecordingPart
from callbot.schemas.subjects import CALL_RECORDING
from tests.samples import CALL_ID
from tests.servers import Server, url_for

from .api_site import TOKEN, Site

PATH = f"/v1/calls/{CALL_ID}/recording"
TOTAL_MS = 25_000
AUDIO = bytes(n * 7 % 253 for n in range(TOTAL_MS * 16))
LOUD, QUIET = 0x80, 0xFF


class Shelf:
    """call-router with one recording; it can refuse, and be shorter at the second look."""

    def __init__(self) -> None:
        self.asked: list[CallRecordingPart] = []
        self.refusal = ""
        self.refuses_times = 0
        self.ends_early = False

    async def part(self, question: CallRecordingPart) -> RecordingPart:
        self.asked.append(question)
        if self.refusal and (self.refuses_times or question.from_ms == 0):
            self.refuses_times -= 1
            raise Refused(self.refusal, "No.")
        at = question.from_ms * 16
        if self.ends_early and at:
            return RecordingPart(question.from_ms, b"")
        return RecordingPart(TOTAL_MS, AUDIO[at : at + LONGEST_PART_MS * 16])


@pytest.fixture
async def shelf(api_nats: Server) -> AsyncIterator[Shelf]:
    shelf = Shelf()
    async with connect(url_for("call-router", api_nats), speaks_as="call-router") as bus:
        listening = await bus.answer(CALL_RECORDING, shelf.part)
        await bus.flush()
        yield shelf
        await listening.stop()


async def test_a_recording_comes_whole_as_a_wav_of_two_channels(site: Site, shelf: Shelf) -> None:
    async with site.http.get(PATH, headers=TOKEN) as answer:
        body = await answer.read()
        assert (answer.status, answer.content_type) == (200, "audio/wav")
        assert answer.headers["Content-Length"] == str(len(body)) == str(58 + len(AUDIO))
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{CALL_ID}.wav"'
        assert answer.headers["Cache-Control"] == "no-store"
    assert body[58:] == AUDIO
    read = soundfile.info(io.BytesIO(body))
    assert (read.format, read.subtype, read.channels, read.samplerate) == ("WAV", "ULAW", 2, 8000)
    assert read.frames == TOTAL_MS * 8
    assert [question.from_ms for question in shelf.asked] == [0, 10_000, 20_000]
    assert {question.credential.value for question in shelf.asked} == {"t.o.ken"}


def test_the_caller_is_left_and_the_bot_right() -> None:
    wav = wav_header(4) + bytes((LOUD, QUIET, QUIET, LOUD))
    (left, right), (left_after, right_after) = soundfile.read(io.BytesIO(wav), dtype="int16")[0]
    assert abs(left) > 32_000 > abs(right) == 0 == abs(left_after) < 32_000 < abs(right_after)


def test_the_header_is_as_the_format_has_it() -> None:
    header = wav_header(1600)
    assert header[:4] + header[8:16] == b"RIFFWAVEfmt "
    assert struct.unpack_from("<I", header, 4) == (len(header) + 1600 - 8,)
    assert struct.unpack_from("<IHHIIHHH", header, 16) == (18, 7, 2, 8000, 16000, 2, 8, 0)
    assert header[38:] == b"fact" + struct.pack("<II", 4, 800) + b"data" + struct.pack("<I", 1600)


async def test_its_length_can_be_asked_for(site: Site, shelf: Shelf) -> None:
    async with site.http.head(PATH, headers=TOKEN) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(58 + len(AUDIO)))
        assert await answer.read() == b""
    assert len(shelf.asked) == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [("no_recording", 404), ("call_not_found", 404), ("call_live", 409), ("unavailable", 503)],
)
async def test_a_refusal_is_an_error_of_our_shape(site: Site, shelf: Shelf, code: str, status: int) -> None:
    shelf.refusal, shelf.refuses_times = code, 1
    found, headers, body = await site.ask("GET", PATH)
    assert (found, body["error"]["code"]) == (status, code)
    assert ("Retry-After" in headers) is (status == 503)


async def test_what_is_no_call_is_not_asked_for(site: Site, shelf: Shelf) -> None:
    for call_id in ("CA1", "x" * 34, "CA%00" + "0" * 31, CALL_ID.lower()):
        status, _, body = await site.ask("GET", f"/calls/{call_id}/recording")
        assert (status, body["error"]["code"]) == (404, "call_not_found")
    async with site.http.get(PATH) as answer:
        assert answer.status == 401
    assert shelf.asked == []


async def test_one_part_that_fails_is_asked_for_again(site: Site, shelf: Shelf) -> None:
    async with site.http.get(PATH, headers=TOKEN) as answer:
        await answer.content.readexactly(58)
        shelf.refusal, shelf.refuses_times = "unavailable", 2
        rest = await answer.read()
    assert rest == AUDIO


async def test_a_recording_that_breaks_off_is_not_taken_for_a_whole_one(site: Site, shelf: Shelf) -> None:
    shelf.ends_early = True
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
        async with site.http.get(PATH, headers=TOKEN) as answer:
            assert answer.status == 200
            await answer.read()


async def test_too_many_at_once_are_told_to_come_back(site: Site, shelf: Shelf) -> None:
    downloads = site.app[DOWNLOADS]
    for _ in range(10):
        await downloads.acquire()
    try:
        status, headers, body = await site.ask("GET", PATH)
    finally:
        for _ in range(10):
            downloads.release()
    assert (status, body["error"]["code"], headers["Retry-After"]) == (503, "unavailable", "5")
    async with site.http.get(PATH, headers=TOKEN) as answer:
        assert len(await answer.read()) == 58 + len(AUDIO)
