"""A Twilio of one's own: phones that call a platform over HTTP and WebSocket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import aiohttp

from callbot.studio.account import Account
from callbot.studio.emulator.call import Call, CallPlan
from callbot.studio.emulator.call_parameters import DialOutcome, new_sid
from callbot.studio.emulator.caller import Caller
from callbot.studio.emulator.line import Line
from callbot.studio.emulator.number import Hook, Number
from callbot.studio.emulator.recording import Recording
from callbot.studio.emulator.surroundings import Echo, Surroundings
from callbot.studio.emulator.voices import ScriptedVoice, Voice
from callbot.studio.emulator.webhooks import Deadlines, Webhooks

CALLER_NUMBER = "+14155550100"
PLATFORM_NUMBER = "+14155550199"
LONGEST_END_S = 40.0
"""Two webhooks at their deadline, and some."""


class Emulator:
    """An async context manager; any number of calls at once."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        account: Account | None = None,
        voice: Voice | None = None,
        fallback_path: str | None = "/v1/voice/fallback",
        status_path: str | None = None,
        deadlines: Deadlines | None = None,
        speed: float = 1.0,
    ) -> None:
        """`speed` above 1 is for tests of the emulator itself."""
        self._url = url.rstrip("/")
        self._account = account or Account()
        self._voice = voice or ScriptedVoice()
        self._fallback_path, self._status_path = fallback_path, status_path
        self._deadlines = deadlines or Deadlines()
        self._speed = speed
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    @asynccontextmanager
    async def dial(
        self,
        *,
        bot_id: str | None = None,
        to: str | Number = PLATFORM_NUMBER,
        from_number: str = CALLER_NUMBER,
        call_sid: str | None = None,
        voice: Voice | None = None,
        record: Path | None = None,
        dial_outcome: DialOutcome = DialOutcome.ANSWERED,
        dial_talk_s: float = 0.0,
        loss_detection_s: float = 0.0,
        action_after_hang_up: bool = True,
        echo: Echo | None = None,
        background: bytes = b"",
    ) -> AsyncIterator[Caller]:
        """Calls, and goes on once a stream has begun or the call is over. Leaving hangs up.

        A `Number` is called as its account has set it up; of any other, the platform's own URLs are asked.
        `background` (mu-law) is heard behind the caller all the time, `echo` brings the bot's voice back.
        Raises OSError when the recording cannot be written.
        """
        if self._http is None:
            raise RuntimeError("the emulator has not been entered")
        number = to if isinstance(to, Number) else self._number(to, bot_id)
        plan = CallPlan(
            number=number,
            call_sid=call_sid or new_sid("CA"),
            from_number=from_number,
            dial_outcome=dial_outcome,
            dial_talk_s=dial_talk_s,
            loss_detection_s=loss_detection_s,
            action_after_hang_up=action_after_hang_up,
        )
        recording = Recording(record) if record else None
        webhooks = Webhooks(self._http, number.account, self._deadlines)
        call = Call(plan, self._http, webhooks, Line(recording, self._speed, Surroundings(echo, background)))
        running = asyncio.create_task(call.run())
        try:
            await _until_answered(call, running)
            yield Caller(call, running, voice or self._voice)
        finally:
            await _end(call, running)
        if recording is not None and recording.error is not None:
            raise recording.error

    def _number(self, phone_number: str, bot_id: str | None) -> Number:
        query = "" if bot_id is None else f"?bot_id={quote(bot_id, safe='')}"
        return Number(
            phone_number,
            voice=Hook(f"{self._url}/v1/voice{query}"),
            fallback=self._at(self._fallback_path),
            status=self._at(self._status_path),
            account=self._account,
        )

    def _at(self, path: str | None) -> Hook | None:
        return None if path is None else Hook(self._url + path)


async def _until_answered(call: Call, running: asyncio.Task[object]) -> None:
    streaming = asyncio.create_task(call.streaming.wait())
    await asyncio.wait([streaming, running], return_when=asyncio.FIRST_COMPLETED)
    streaming.cancel()


async def _end(call: Call, running: asyncio.Task[object]) -> None:
    call.hang_up()
    await asyncio.wait([running], timeout=LONGEST_END_S)
    if not running.done():
        running.cancel()
    await running
