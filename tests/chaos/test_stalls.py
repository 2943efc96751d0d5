"""What is not dead but stands still: the broker, every worker of a stage, an old socket."""

import asyncio
import base64
import os
import signal
from contextlib import AsyncExitStack
from typing import Any
from xml.etree import ElementTree

import aiohttp

from callbot.schemas.text_audio import audible, texts_in
from callbot.studio.bench.soak import monitor_of
from callbot.studio.emulator import Emulator
from callbot.studio.up.running import Platform
from tests.chaos.test_killed_workers import GREETING, Records, goes_on, whole_again
from tests.conftest import BotMaker


async def pids(platform: Platform, service: str) -> list[int]:
    return [row["pid"] for row in await platform.ps() if row["service"] == service]


async def subscriptions_of_calls(platform: Platform) -> list[str]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{monitor_of(platform.data)}/connz?subs=1") as answer,
    ):
        connections = (await answer.json())["connections"]
    subjects = [subject for c in connections for subject in c.get("subscriptions_list", [])]
    # Of all calls, `call.*`, a service hears as long as it lives.
    return [s for s in subjects if s.startswith("call.") and not s.startswith("call.*")]


async def test_a_broker_that_stands_still_leaves_nothing_behind(
    platform: Platform, emulator: Emulator, make_bot: BotMaker
) -> None:
    bot = await make_bot()
    await whole_again(platform)
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        for stopped_s in (0.5, 1.6):
            (nats,) = await pids(platform, "nats")
            os.kill(nats, signal.SIGSTOP)
            await asyncio.sleep(stopped_s)
            os.kill(nats, signal.SIGCONT)
            await goes_on(call)
    await whole_again(platform)
    for _ in range(50):
        if not (left := await subscriptions_of_calls(platform)):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"subscriptions were left: {left}")


async def test_a_killed_broker_comes_back_and_the_call_goes_on(
    platform: Platform, emulator: Emulator, make_bot: BotMaker
) -> None:
    bot = await make_bot()
    await whole_again(platform)
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        (nats,) = await pids(platform, "nats")
        os.kill(nats, signal.SIGKILL)
        await goes_on(call)
    await whole_again(platform)


async def test_a_stage_that_is_empty_is_said_at_once_and_the_call_goes_on_when_it_is_back(
    platform: Platform, emulator: Emulator, make_bot: BotMaker, record_of: Records
) -> None:
    bot = await make_bot()
    await whole_again(platform)
    async with emulator.dial(bot_id=bot) as call, AsyncExitStack() as revive:
        await call.hears(GREETING)
        for pid in await pids(platform, "dialog-worker"):
            os.kill(pid, signal.SIGSTOP)
            revive.callback(os.kill, pid, signal.SIGCONT)
        # 0.6 s until it is noticed, 2 s until nobody else has taken the seat: then it has fallen back.
        await asyncio.sleep(3)
        await call.says("Anybody")
        apology = await call.reply(within_s=4, silence_ms=1000)
        assert apology.voice_to_voice_ms is not None and apology.voice_to_voice_ms < 2500
        await revive.aclose()
        await asyncio.sleep(1.5)
        await goes_on(call)
    reasons: list[dict[str, Any]] = (await record_of(call.sid))["fallbacks"]
    assert any(r["stage"] == "mind" for r in reasons)


async def test_the_fallback_url_of_a_live_call_brings_it_back(
    api: aiohttp.ClientSession, emulator: Emulator, make_bot: BotMaker
) -> None:
    """Twilio asks it when the gateway that was to say what follows has just died."""
    bot = await make_bot()
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        asked = {"CallSid": call.sid, "AccountSid": call.call.plan.number.account.sid}
        async with api.post(f"/v1/voice?bot_id={bot}", data=asked) as answer:
            action = ElementTree.fromstring(await answer.text())[0].attrib["action"]
        failed = {
            "CallSid": call.sid,
            "CallStatus": "in-progress",
            "ErrorCode": "11200",
            "ErrorUrl": action,
        }
        async with api.post("/v1/voice/fallback", data=failed) as answer:
            document = ElementTree.fromstring(await answer.text())
    assert [verb.tag for verb in document] == ["Connect"]


class Stream:
    """A media stream held by hand, so that it can be left open without a word."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._heard = b""

    async def begin(self, call_id: str, token: str) -> None:
        start = {
            "callSid": call_id,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
            "customParameters": {"token": token},
        }
        await self._socket.send_json({"event": "start", "streamSid": "MZ1", "start": start})

    async def says(self, text: str) -> None:
        """The words, then a second of silence, at the pace of a telephone."""
        audio = audible(text) + b"\xff" * 8000
        for at in range(0, len(audio), 160):
            payload = base64.b64encode(audio[at : at + 160]).decode()
            await self._socket.send_json({"event": "media", "media": {"payload": payload}})
            await asyncio.sleep(0.02)

    async def hears(self, text: str, within_s: float = 5) -> None:
        async with asyncio.timeout(within_s):
            while text not in texts_in(self._heard):
                message = (await self._socket.receive()).json()
                if message["event"] == "media":
                    self._heard += base64.b64decode(message["media"]["payload"])


async def test_an_old_stream_does_not_disturb_the_new_one(
    api: aiohttp.ClientSession, platform: Platform, make_bot: BotMaker
) -> None:
    """The first socket stays open and silent, as it may for minutes, while the call goes on elsewhere."""
    bot = await make_bot()
    await whole_again(platform)
    async with AsyncExitStack() as sockets:
        for attempt in range(8):
            call_id = f"CA{attempt:032x}"
            url = f"/v1/voice?bot_id={bot}"
            for _ in range(2):
                async with api.post(url, data={"CallSid": call_id, "CallStatus": "in-progress"}) as answer:
                    connect = ElementTree.fromstring(await answer.text())[0]
                url, parameter = connect.attrib["action"], connect[0][0]
                # A connection of its own, so that either gateway may get it.
                session = await sockets.enter_async_context(aiohttp.ClientSession(platform.url))
                stream = Stream(await sockets.enter_async_context(session.ws_connect(f"/stream/{bot}")))
                await stream.begin(call_id, parameter.attrib["value"])
                await stream.hears(GREETING)
            gateways = [r["live_calls"] for r in await platform.ps() if r["service"] == "gateway"]
            if all(gateways):
                break
        for number in range(4):
            await stream.says(f"Turn {number}")
            await stream.hears(f"I heard Turn {number}")
            # The old gateway gives its silent stream up after ten seconds: in the middle of this.
            await stream.says("")
    await whole_again(platform)
