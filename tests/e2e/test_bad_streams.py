"""Media streams that are none, or are somebody else's: closed with the right code, nothing left behind."""

import asyncio
import base64
import contextlib
import json
from typing import Any
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp import WSMsgType

from callbot.studio.emulator import Emulator
from callbot.studio.up.running import Platform
from tests.conftest import BotMaker


def start(call_id: str, token: str, **over: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "callSid": call_id,
        "accountSid": "AC1",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token},
        **over,
    }
    return {"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": body}


async def connected(api: aiohttp.ClientSession, bot: str, call_id: str) -> ElementTree.Element:
    async with api.post(f"/v1/voice?bot_id={bot}", data={"CallSid": call_id}) as answer:
        return ElementTree.fromstring(await answer.text())[0]


async def token_for(api: aiohttp.ClientSession, bot: str, call_id: str) -> str:
    return (await connected(api, bot, call_id))[0][0].attrib["value"]


async def close_code(socket: aiohttp.ClientWebSocketResponse, within_s: float = 5.0) -> int | None:
    async with asyncio.timeout(within_s):
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            continue
    assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR)
    return socket.close_code


MEDIA = {"event": "media", "media": {"payload": base64.b64encode(b"\xff" * 160).decode()}}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (["garbage"], 1007),
        ([b"\x00\x01"], 1003),
        ([json.dumps(MEDIA)], 1008),
        (["x" * 100_000], 1009),
        ([json.dumps({"event": "connected"}), json.dumps({"event": "stop"})], 1008),
        ([json.dumps(start("CA1", ""))], 1008),
        ([json.dumps(start("CA" + "ab" * 16, "forged"))], 1008),
        ([json.dumps(start("CA" + "ab" * 16, "", mediaFormat={"encoding": "audio/opus"}))], 1003),
        ([], 1008),
    ],
    ids=[
        "garbage",
        "binary",
        "media first",
        "too long",
        "stop first",
        "no call",
        "forged",
        "opus",
        "nothing",
    ],
)
async def test_a_stream_that_is_none_is_closed_with_the_right_code(
    api: aiohttp.ClientSession, make_bot: BotMaker, sent: list[str | bytes], code: int
) -> None:
    bot = await make_bot()
    async with api.ws_connect(f"/voice/stream/{bot}") as socket:
        for message in sent:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
        assert await close_code(socket) == code


async def test_ten_megabytes_are_not_read(api: aiohttp.ClientSession, make_bot: BotMaker) -> None:
    """The gateway closes while the sender still sends: the sender may see the reset before the 1009."""
    async with api.ws_connect(f"/voice/stream/{await make_bot()}") as socket:
        with contextlib.suppress(ConnectionError):
            await socket.send_str("x" * 10_000_000)
        async with asyncio.timeout(5):
            message = await socket.receive()
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)


async def test_a_token_is_for_its_call_and_its_bot(api: aiohttp.ClientSession, make_bot: BotMaker) -> None:
    first, second = await make_bot(), await make_bot()
    call_id = "CA" + "34" * 16
    token = await token_for(api, first, call_id)
    for bot, called in ((second, call_id), (first, "CA" + "56" * 16)):
        async with api.ws_connect(f"/v1/voice/stream/{bot}") as socket:
            await socket.send_json(start(called, token))
            assert await close_code(socket) == 1008


async def test_a_bot_deleted_before_its_stream(api: aiohttp.ClientSession, make_bot: BotMaker) -> None:
    bot = await make_bot()
    call_id = "CA" + "78" * 16
    connect = await connected(api, bot, call_id)
    async with api.delete(f"/v1/bots/{bot}") as answer:
        assert answer.status == 200
    async with api.ws_connect(f"/stream/{bot}") as socket:
        await socket.send_json(start(call_id, connect[0][0].attrib["value"]))
        assert await close_code(socket) == 1008
    async with api.post(connect.attrib["action"], data={"CallStatus": "in-progress"}) as answer:
        document = ElementTree.fromstring(await answer.text())
    assert [verb.tag for verb in document] == ["Say", "Hangup"]


async def test_frames_of_odd_length_and_nonsense_in_a_live_call_change_nothing(
    api: aiohttp.ClientSession, make_bot: BotMaker, platform: Platform
) -> None:
    bot = await make_bot()
    call_id = "CA" + "9a" * 16
    token = await token_for(api, bot, call_id)
    async with api.ws_connect(f"/voice/stream/{bot}") as socket:
        await socket.send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await socket.send_json(start(call_id, token))
        for length in (1, 159, 160, 161, 7, 0, 4000):
            payload = base64.b64encode(b"\xff" * length).decode()
            await socket.send_json({"event": "media", "media": {"payload": payload}})
        for nonsense in ("{", "5", '{"event":"media","media":{"payload":"@"}}', '{"event":"dance"}'):
            await socket.send_str(nonsense)
        await socket.send_bytes(b"\x00")
        message = await socket.receive(timeout=5)
        assert json.loads(message.data)["event"] == "media"
        await socket.send_json({"event": "stop", "stop": {}})
    for _ in range(50):
        if not any(row["live_calls"] for row in await platform.ps()):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("a seat was left behind")


async def test_a_call_after_all_that(emulator: Emulator, make_bot: BotMaker) -> None:
    async with emulator.dial(bot_id=await make_bot()) as call:
        await call.hears("Hello! How can I help you?")
        await call.says("Hello")
        assert (await call.reply()).texts == ("I heard Hello",)
