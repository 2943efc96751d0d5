"""Audio in the body of an answer, on good and bad days, as several vendors' servers give it."""

import asyncio
import struct
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from tests.vendors.speech_tones import spoken_mulaw
from tests.vendors.tts_vendor import CHATTER, Day, TtsVendor

PIECES: Final = (333, 1001, 777)
WRITTEN_S: Final = 0.05
"""After so long what was written before a connection is torn has gone out."""


def pieces_of(audio: bytes) -> list[bytes]:
    pieces: list[bytes] = []
    while audio:
        size = PIECES[len(pieces) % len(PIECES)]
        pieces.append(audio[:size])
        audio = audio[size:]
    return pieces


def wav_header(tag: int, rate_hz: int, bits: int) -> bytes:
    """Of a file without a known length."""
    each = bits // 8
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, 1, rate_hz, rate_hz * each, each, bits)
    return struct.pack("<4sI4s", b"RIFF", 2**32 - 1, b"WAVE") + form + struct.pack("<4sI", b"data", 2**32 - 1)


def abort(request: web.Request) -> None:
    """The connection is torn."""
    assert isinstance(request.transport, asyncio.Transport)
    request.transport.abort()


async def spoken(
    vendor: TtsVendor, request: web.Request, text: str, headers: Mapping[str, str], *, head: bytes = b""
) -> web.StreamResponse:
    """`head` stands before the audio."""
    day = vendor.day
    response = web.StreamResponse(headers=headers)
    if day is Day.SLOW:
        return await _until_closed(vendor, request, response)
    if day is Day.MALFORMED:
        return web.Response(text=f"<html>{CHATTER}</html>", content_type="text/html")
    await response.prepare(request)
    pieces = pieces_of(spoken_mulaw(text))
    pieces[0] = (wav_header(1, 16000, 16) if day is Day.WRONG_RATE else head) + pieces[0]
    vendor.gives_audio()
    for piece in pieces[: len(pieces) // 2] if day in (Day.STALLS, Day.CUT) else pieces:
        await response.write(piece)
    if day is Day.STALLS:
        return await _until_closed(vendor, request, response)
    if day is Day.CUT:
        await asyncio.sleep(WRITTEN_S)
        abort(request)
    return response


async def _until_closed(
    vendor: TtsVendor, request: web.Request, response: web.StreamResponse
) -> web.StreamResponse:
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.01)
    await vendor.gives_up()
    return response
