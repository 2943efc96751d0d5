"""A gateway is killed while streams become calls: Twilio comes back, and another gateway begins them anew.

The test is Twilio, so that it can stop call-router between its two answers.
"""

import asyncio
import os
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from xml.etree import ElementTree

import aiohttp
from aiohttp import WSMsgType

from callbot.studio.up.running import Platform
from tests.conftest import BotMaker
from tests.e2e.test_bad_streams import start

from .test_killed_workers import whole_again

AT_ONCE = 6
"""Over two gateways: that the killed one has none of them happens once in 64 times, and proves less then."""


class Call:
    """What Twilio knows of it."""

    def __init__(self, api: aiohttp.ClientSession, connect: ElementTree.Element, call_id: str) -> None:
        self._api, self.call_id = api, call_id
        self.action = connect.attrib["action"]
        self._path = connect[0].attrib["url"].rpartition("/voice/")[2]
        self._token = connect[0][0].attrib["value"]

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self._api.ws_connect(f"/voice/{self._path}") as line:
            await line.send_json(start(self.call_id, self._token))
            yield line

    async def comes_back(self) -> "Call":
        """The stream has ended; what follows must be another one.

        Where the question itself meets the dead gateway, the fallback is asked, as Twilio does.
        """
        fields = {"CallSid": self.call_id, "CallStatus": "in-progress"}
        failed = {**fields, "ErrorCode": "11205", "ErrorUrl": self.action}
        try:
            verb = await self._asks(self.action, fields)
        except aiohttp.ClientConnectionError:
            verb = await self._asks("/v1/voice/fallback", failed)
        assert verb.tag == "Connect"
        return Call(self._api, verb, self.call_id)

    async def _asks(self, url: str, fields: dict[str, str]) -> ElementTree.Element:
        """On a connection of its own: those that were kept open may lead to who is dead."""
        async with aiohttp.ClientSession(self._api._base_url) as http, http.post(url, data=fields) as answer:
            return ElementTree.fromstring(await answer.text())[0]


async def placed(api: aiohttp.ClientSession, bot: str) -> Call:
    call_id = "CA" + secrets.token_hex(16)
    async with api.post(f"/v1/voice?bot_id={bot}", data={"CallSid": call_id}) as answer:
        return Call(api, ElementTree.fromstring(await answer.text())[0], call_id)


async def hears(line: aiohttp.ClientWebSocketResponse) -> bool:
    async with asyncio.timeout(15):
        async for message in line:
            if message.type is WSMsgType.TEXT and message.json()["event"] == "media":
                return True
    return False


async def every_seat_is_held(platform: Platform) -> None:
    """A call that ends before its workers have their seats keeps them busy for half a minute."""
    async with asyncio.timeout(30):
        while True:
            seats = Counter[str]()
            for row in await platform.ps():
                seats[row["service"]] += row["live_calls"] or 0
            if all(seats[f"{kind}-worker"] >= AT_ONCE for kind in ("stt", "dialog", "tts")):
                return
            await asyncio.sleep(0.1)


async def test_what_was_no_call_yet_begins_at_another_gateway(
    platform: Platform, api: aiohttp.ClientSession, make_bot: BotMaker
) -> None:
    await whole_again(platform)
    bot = await make_bot()
    calls = [await placed(api, bot) for _ in range(AT_ONCE)]
    parts = await platform.ps()
    routers = [row["pid"] for row in parts if row["service"] == "call-router"]
    victim = next(row["pid"] for row in parts if row["service"] == "gateway")

    async def talks(call: Call, lines: AsyncExitStack) -> bool:
        """Whether its first stream was the one; either way its caller hears the bot."""
        line = await lines.enter_async_context(call.stream())
        opened.release()
        if await hears(line):
            return True
        again = await call.comes_back()
        assert await hears(await lines.enter_async_context(again.stream()))
        return False

    opened = asyncio.Semaphore(0)
    async with AsyncExitStack() as lines:
        for pid in routers:
            os.kill(pid, signal.SIGSTOP)
        try:
            talking = [asyncio.create_task(talks(call, lines)) for call in calls]
            for _ in calls:
                await opened.acquire()
            os.kill(victim, signal.SIGKILL)
        finally:
            for pid in routers:
                os.kill(pid, signal.SIGCONT)
        first = await asyncio.gather(*talking)
        assert not all(first), "the gateway that was killed held none of them"
        await every_seat_is_held(platform)
    await whole_again(platform)
