"""Platforms that Twilio would not put up with: what the emulator complains of, and how the call goes on."""

import asyncio
import json
import socket as sockets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from callbot.schemas.text_audio import TONE
from callbot.studio.emulator import (
    APPLICATION_ERROR,
    CallOver,
    Code,
    Deadlines,
    Emulator,
    EndReason,
)
from studio.tests.emulator_platform import Platform, Socket, running_platform, silent


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with running_platform() as platform:
        yield platform


NOT_ACCEPTED: list[tuple[Any, Code]] = [
    ("{", Code.STREAM_MESSAGE),
    ("[]", Code.STREAM_MESSAGE),
    ({"event": "stop"}, Code.STREAM_MESSAGE),
    ({"event": ["media"]}, Code.STREAM_MESSAGE),
    ({"event": "clear", "now": True}, Code.STREAM_MESSAGE),
    ({"event": "clear", "streamSid": "MZ" + "0" * 32}, Code.STREAM_MESSAGE),
    ({"event": "mark"}, Code.STREAM_MESSAGE),
    ({"event": "mark", "mark": {"name": 1}}, Code.STREAM_MESSAGE),
    ({"event": "media", "media": {}}, Code.STREAM_MESSAGE),
    ({"event": "media", "media": "x"}, Code.STREAM_MESSAGE),
    ({"event": "media", "media": {"payload": "!"}}, Code.STREAM_MESSAGE),
    ({"event": "media", "media": {"payload": "//8=", "track": "outbound"}}, Code.STREAM_MESSAGE),
    (b"\x00\x01", Code.STREAM_BINARY),
]


async def test_messages_that_twilio_does_not_accept(platform: Platform) -> None:
    async def wrong(socket: Socket) -> None:
        await socket.next("start")
        for message, _ in NOT_ACCEPTED:
            if isinstance(message, dict):
                await socket.ws.send_str(json.dumps({"streamSid": socket.sid, **message}))
            elif isinstance(message, str):
                await socket.ws.send_str(message)
            else:
                await socket.ws.send_bytes(message)
        await socket.send("mark", {"name": "still alive"})
        await socket.next("mark")

    platform.connects(wrong)
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
        await call.ended()
    assert [complaint.code for complaint in call.complaints.faults()] == [code for _, code in NOT_ACCEPTED]


async def test_a_server_that_dies_is_asked_for_the_action_and_streamed_to_again(platform: Platform) -> None:
    async def dies(socket: Socket) -> None:
        await socket.next("media")
        assert socket.request.transport is not None
        socket.request.transport.abort()

    async def lives(socket: Socket) -> None:
        await socket.next("start")
        await socket.speak("Where were we?")
        await socket.rest()

    platform.connects(dies, lives, action="/v1/voice/again")
    platform.documents["/v1/voice/again"] = platform.documents["/v1/voice"]
    async with (
        Emulator(platform.url) as emulator,
        emulator.dial(bot_id="bot_1", loss_detection_s=0.05) as call,
    ):
        heard = await call.hears("Where were we?")
        assert heard.started_ms >= 50
    assert call.complaints.codes() == [Code.STREAM_BROKEN]
    first, second = platform.sockets
    assert first.sid != second.sid
    assert first.start["callSid"] == second.start["callSid"] == call.sid


async def test_a_protocol_error_ends_the_stream(platform: Platform) -> None:
    async def breaks(socket: Socket) -> None:
        await socket.next("media")
        assert socket.request.transport is not None
        socket.request.transport.write(b"\xff\x00")  # reserved bits
        await socket.rest()

    platform.connects(breaks)
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
        assert (await call.ended()).reason is EndReason.HANGUP
    assert call.complaints.codes() == [Code.STREAM_PROTOCOL]


async def test_a_server_that_does_not_read_loses_the_callers_audio(platform: Platform) -> None:
    reading = asyncio.Event()

    async def sleeps(socket: Socket) -> None:
        transport = socket.request.transport
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        transport.pause_reading()
        await reading.wait()
        transport.resume_reading()

    platform.connects(sleeps)
    async with Emulator(platform.url, speed=2000) as emulator, emulator.dial(bot_id="bot_1") as call:
        await call.call.line.ear.until(lambda: True if len(call.complaints) else None, within_s=10)
        assert call.call.line.stream is not None
        assert call.call.line.stream.dropped_frames >= 1
        reading.set()
        await call.ended()
    assert call.complaints.codes().count(Code.READING_TOO_SLOWLY) == 1


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("{ws}/voice/stream/bot_1?token=1", Code.STREAM_HANDSHAKE),
        ("{ws}/voice/nothing", Code.STREAM_HANDSHAKE),
        ("https://127.0.0.1/voice/stream/bot_1", Code.STREAM_SCHEME),
        ("ws://example.com/voice/stream/bot_1", Code.STREAM_SCHEME),
        ("wss://[::1/voice", Code.STREAM_URL),
        ("ws://127.0.0.1:1/voice/stream/bot_1", Code.STREAM_REFUSED),
    ],
)
async def test_streams_that_cannot_begin(platform: Platform, url: str, code: Code) -> None:
    platform.connects(silent)
    stream = url.format(ws=platform.url.replace("http", "ws"))
    platform.documents["/v1/voice"] = (
        f'<Response><Connect><Stream url="{stream}"/></Connect><Say>Sorry.</Say></Response>'
    )
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
        await call.hears("Sorry.")
        with pytest.raises(CallOver, match="no verb left"):
            await call.says("hello?")
    assert call.complaints.codes() == [code]


async def too_slow(_: web.Request) -> str:
    await asyncio.sleep(5)
    return "<Response/>"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (web.HTTPNotFound, Code.RETRIEVAL_FAILED),
        (lambda: web.Response(body=b"<Response/>"), Code.CONTENT_TYPE),
        (lambda: web.Response(text="<Response/>", content_type="text/html"), Code.CONTENT_TYPE),
        (
            lambda: web.Response(text=" <?xml version='1.0'?><Response/>", content_type="text/xml"),
            Code.BAD_XML,
        ),
        (lambda: web.Response(text="<Response>", content_type="text/xml"), Code.BAD_XML),
        (lambda: web.Response(text="<response/>", content_type="text/xml"), Code.BAD_XML),
        (lambda: web.Response(text=" " * 70_000, content_type="text/xml"), Code.BODY_TOO_LARGE),
        (lambda: too_slow, Code.CONNECTION_FAILED),
    ],
)
async def test_documents_that_cannot_be_had_lead_to_the_fallback(
    platform: Platform, document: Any, code: Code
) -> None:
    made = document()
    platform.documents["/v1/voice"] = made if made is too_slow else await _as_answer(made)
    platform.documents["/v1/voice/fallback"] = "<Response><Say>Bot not found</Say><Hangup/></Response>"
    deadlines = Deadlines(total_s=0.2)
    async with Emulator(platform.url, deadlines=deadlines) as emulator, emulator.dial(bot_id="bot_1") as call:
        await call.hears("Bot not found")
    assert call.complaints.codes() == [code]
    form = platform.form("/v1/voice/fallback")
    assert (form["ErrorCode"], form["ErrorUrl"]) == (str(int(code)), f"{platform.url}/v1/voice?bot_id=bot_1")


async def _as_answer(response: web.Response) -> Any:
    if isinstance(response, web.HTTPException):
        return web.Response(
            status=response.status, text="<Response><Say>x</Say></Response>", content_type="text/xml"
        )
    return response


async def test_without_a_fallback_the_caller_hears_of_an_application_error(platform: Platform) -> None:
    platform.documents["/v1/voice"] = web.Response(status=500)
    platform.documents["/v1/voice/fallback"] = web.Response(status=500)
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
        await call.hears(APPLICATION_ERROR)
        assert (await call.ended()).reason is EndReason.APPLICATION_ERROR
    assert call.complaints.codes() == [11200, 11200]


async def test_nobody_there() -> None:
    emulator = Emulator("http://127.0.0.1:1", fallback_path=None)
    async with emulator, emulator.dial(bot_id="bot_1") as call:
        assert (await call.ended()).reason is EndReason.APPLICATION_ERROR
    assert call.complaints.codes() == [11205]


async def test_a_call_can_be_left_at_any_moment(platform: Platform) -> None:
    platform.documents["/v1/voice"] = "<Response><Pause length='30'/></Response>"
    platform.documents["/v1/voice/status"] = web.Response(status=204)
    async with Emulator(platform.url, status_path="/v1/voice/status") as emulator:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), emulator.dial(bot_id="bot_1"):
                pytest.fail("nobody has answered")
    assert platform.form("/v1/voice/status")["CallStatus"] == "completed"


async def test_endless_redirects_end(platform: Platform) -> None:
    platform.documents["/v1/voice"] = "<Response><Redirect method='GET'>/v1/voice</Redirect></Response>"
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
        assert (await call.ended()).reason is EndReason.APPLICATION_ERROR
    assert len(platform.requests) == 101


async def test_speech_is_cut_when_the_call_ends(platform: Platform) -> None:
    async def closes(socket: Socket) -> None:
        await socket.next("media")

    platform.connects(closes)
    async with Emulator(platform.url) as emulator, emulator.dial(bot_id="bot_1") as call:
        with pytest.raises(CallOver, match="is over"):
            await call.says(TONE * 5000)
