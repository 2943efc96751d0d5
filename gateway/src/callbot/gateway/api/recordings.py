"""`GET /v1/calls/{call_id}/recording`: a recorded call as a WAV of two channels, caller left, bot right.

Mu-law as it was heard: RIFF format 7, 8,000 Hz, 8 bits (RFC 2361, appendix A; Microsoft, "New Multimedia Data
Types and Data Techniques", 1994). call-router gives it in parts of some seconds, so that nobody
holds more than that.
"""

import asyncio
import logging
import re
import struct

from aiohttp import web

from callbot.gateway.api.credentials import credential_of
from callbot.gateway.errors import NEVER_KEPT, ApiError
from callbot.gateway.keys import BUS, DOWNLOADS
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError
from callbot.schemas.audio import BYTES_PER_MS, SAMPLE_RATE_HZ
from callbot.schemas.message import CALL_ID_PATTERN
from callbot.schemas.recording import CHANNELS, CallRecordingPart, RecordingPart
from callbot.schemas.subjects import CALL_RECORDING

ASK_WITHIN_S = 1.8
WRITE_WITHIN_S = 10.0
TRIES = 3
"""For one part: a download of minutes should not end with one slow answer."""
BYTES_OF_A_MS = BYTES_PER_MS * CHANNELS
MULAW_FORMAT = 7
log = logging.getLogger(__name__)


async def call_recording(request: web.Request) -> web.StreamResponse:
    question = _question(request)
    downloads = request.app[DOWNLOADS]
    if downloads.locked():
        raise ApiError(
            503, "unavailable", "Too many recordings are being read.", headers={"Retry-After": "5"}
        )
    async with downloads:
        bus = request.app[BUS]
        first = await bus.ask(CALL_RECORDING, question, timeout_s=ASK_WITHIN_S)
        response = _begun(question.call_id, first.total_ms)
        await response.prepare(request)
        if request.method != "HEAD":
            await _send(request, response, bus, question, first)
        return response


def _question(request: web.Request) -> CallRecordingPart:
    credential = credential_of(request)
    call_id = request.match_info["call_id"]
    if not re.fullmatch(CALL_ID_PATTERN, call_id):
        raise ApiError(404, "call_not_found", "There is no such call.")
    return CallRecordingPart(credential=credential, call_id=call_id)


def _begun(call_id: str, total_ms: int) -> web.StreamResponse:
    size = total_ms * BYTES_OF_A_MS
    headers = {
        "Content-Type": "audio/wav",
        "Content-Disposition": f'attachment; filename="{call_id}.wav"',
        "Content-Length": str(len(wav_header(0)) + size),
        **NEVER_KEPT,
    }
    return web.StreamResponse(headers=headers)


def wav_header(size: int) -> bytes:
    """For so many bytes of audio of both channels."""
    second = SAMPLE_RATE_HZ * CHANNELS
    layout = struct.pack("<HHIIHHH", MULAW_FORMAT, CHANNELS, SAMPLE_RATE_HZ, second, CHANNELS, 8, 0)
    # Every format but PCM has a fact chunk: how many samples each channel has.
    chunks = _chunk(b"fmt ", layout) + _chunk(b"fact", struct.pack("<I", size // CHANNELS))
    data = b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(data) + size) + b"WAVE" + chunks + data


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


async def _send(
    request: web.Request,
    response: web.StreamResponse,
    bus: Bus,
    question: CallRecordingPart,
    first: RecordingPart,
) -> None:
    """As many bytes as the header has promised, or the connection is broken off."""
    size, sent, part = first.total_ms * BYTES_OF_A_MS, 0, first
    try:
        await _write(response, wav_header(size))
        while sent < size:
            payload = part.payload[: size - sent]
            if not payload:
                raise ConnectionError("the recording is shorter by now")
            await _write(response, payload)
            sent += len(payload)
            if sent < size:
                part = await _next(bus, question.model_copy(update={"from_ms": sent // BYTES_OF_A_MS}))
        await response.write_eof()
    except (BusError, ConnectionError, TimeoutError) as e:
        reason = str(e) or type(e).__name__
        log.info("a download breaks off", extra={"call_id": question.call_id, "reason": reason})
        if request.transport is not None:
            request.transport.abort()


async def _next(bus: Bus, question: CallRecordingPart) -> RecordingPart:
    """Raises BusError."""
    for _ in range(TRIES - 1):
        try:
            return await bus.ask(CALL_RECORDING, question, timeout_s=ASK_WITHIN_S)
        except BusError as e:
            log.debug("a part is asked for again", extra={"call_id": question.call_id, "reason": str(e)})
    return await bus.ask(CALL_RECORDING, question, timeout_s=ASK_WITHIN_S)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """Raises ConnectionError; TimeoutError when nobody reads."""
    async with asyncio.timeout(WRITE_WITHIN_S):
        await response.write(data)
