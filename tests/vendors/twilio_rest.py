"""Twilio's REST API for phone numbers, with bad days; it remembers every request.

Shapes and errors as at https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource.
"""

import asyncio
import base64
import itertools
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

NUMBERS = "/2010-04-01/Accounts/{account}/IncomingPhoneNumbers"
SETTABLE = {
    "FriendlyName": "friendly_name",
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "VoiceApplicationSid": "voice_application_sid",
    "TrunkSid": "trunk_sid",
}
AREA_CODES = itertools.count(200)
NUMBERS_OF_TESTS = (f"+1909555{n:04}" for n in itertools.count())
"""Each is taken once in a run."""


@dataclass(frozen=True)
class Asked:
    what: str
    """`fetch`, `update`, `release`, `list`, `search`, `buy`."""
    method: str
    path: str
    account: str
    form: dict[str, str]
    query: dict[str, str]


@dataclass
class Account:
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    sid: str = field(default_factory=lambda: "AC" + secrets.token_hex(16))
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def owns(self, phone_number: str, **settings: str) -> dict[str, Any]:
        """A number that this account has from now on."""
        number: dict[str, Any] = {
            "sid": "PN" + secrets.token_hex(16),
            "account_sid": self.sid,
            "phone_number": phone_number,
            "friendly_name": phone_number,
            "voice_url": None,
            "voice_method": "POST",
            "voice_fallback_url": None,
            "voice_fallback_method": "POST",
            "status_callback": "",
            "status_callback_method": "POST",
            "voice_application_sid": "",
            "trunk_sid": None,
            "capabilities": {"voice": True, "sms": True, "mms": False, "fax": False},
            **settings,
        }
        self.numbers[number["sid"]] = number
        return number


class TwilioRest:
    """Every account has its numbers; `has` says what becomes of the next requests of a kind.

    Days: an HTTP status (`429 1`: with Retry-After), `slow` (until `let_go`), `late` (done then, the answer
    lost), `lost` (done at once, the answer lost), `hang`, `stall` (in the middle of the body), `cut`,
    `noise` (no HTTP at all), `garbage`, `list`, `huge`, `elsewhere` (a redirect), `taken` (somebody else was
    faster); an empty one is a good day.
    """

    def __init__(self) -> None:
        self.url = ""
        self.accounts: dict[str, Account] = {}
        self.asked: list[Asked] = []
        self.stock = self._new_stock()
        self.let_go = asyncio.Event()
        """What is slow answers, and what hangs ends, when it is set."""
        self.reached: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """A request of this kind has come."""
        self.ignores_filters = False
        self._days: dict[str, list[str]] = {}
        self._always: dict[str, str] = {}

    def account(self) -> Account:
        account = Account()
        self.accounts[account.sid] = account
        return account

    def has(self, what: str, *days: str, always: bool = False) -> None:
        self.reached[what].clear()
        if always:
            (self._always[what],) = days
        else:
            self._days[what] = list(days)

    def is_well(self) -> None:
        self._days.clear()
        self._always.clear()

    def of(self, what: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.what == what]

    def app(self) -> web.Application:
        app = web.Application()
        one, available = NUMBERS + "/{sid}.json", "/2010-04-01/Accounts/{account}/AvailablePhoneNumbers"
        app.add_routes(
            [
                web.get(one, self._answer),
                web.post(one, self._answer),
                web.delete(one, self._answer),
                web.get(NUMBERS + ".json", self._answer),
                web.post(NUMBERS + ".json", self._answer),
                web.get(available + "/{country}/Local.json", self._answer),
            ]
        )
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        form = {k: str(v) for k, v in (await request.post()).items()}
        what = _kind(request)
        account = request.match_info["account"]
        self.asked.append(Asked(what, request.method, request.path, account, form, dict(request.query)))
        self.reached[what].set()
        day = self._always.get(what, "")
        if waiting := self._days.get(what):
            day = waiting.pop(0)
        if day in ("slow", "lost", "late"):
            if day != "lost":
                await self.let_go.wait()
            done = self._done(request, what, form)
            return done if day == "slow" else _cut(request)
        return await self._bad_day(day, request) if day else self._done(request, what, form)

    async def _bad_day(self, day: str, request: web.Request) -> web.StreamResponse:
        code, _, retry_after = day.partition(" ")
        match code:
            case "stall":
                response = web.StreamResponse(headers={"Content-Type": "application/json"})
                await response.prepare(request)
                await response.write(b'{"sid": ')
                await self.let_go.wait()
                return response
            case "hang":
                await self.let_go.wait()
                return _cut(request)
            case "cut":
                return _cut(request)
            case "noise":
                assert isinstance(request.transport, asyncio.Transport)
                request.transport.write(b"\x00\x01 this is not HTTP\r\n\r\n")
                return _cut(request)
            case "garbage":
                return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
            case "list":
                return web.json_response([1, 2])
            case "huge":
                return web.Response(body=b" " * 2_000_000, content_type="application/json")
            case "elsewhere":
                raise web.HTTPFound(f"{self.url}/2010-04-01/Accounts/elsewhere/IncomingPhoneNumbers.json")
            case "taken":
                return _error(400, 21422, "PhoneNumber is not available.")
        headers = {"Retry-After": retry_after} if retry_after else {}
        return _error(int(code), {"401": 20003, "404": 20404, "429": 20429}.get(code, 20500), headers=headers)

    def _done(self, request: web.Request, what: str, form: Mapping[str, str]) -> web.StreamResponse:
        account = self.accounts.get(request.match_info["account"])
        if account is None or request.headers.get("Authorization") != basic(account):
            return _error(401, 20003, "Authenticate")
        if what == "search":
            return web.json_response({"available_phone_numbers": [{"phone_number": n} for n in self.stock]})
        if what == "list":
            name = request.query.get("FriendlyName")
            everything = self.ignores_filters or name is None
            found = [n for n in account.numbers.values() if everything or n["friendly_name"] == name]
            return web.json_response({"incoming_phone_numbers": found})
        if what == "buy":
            return self._sold(account, form)
        number = account.numbers.get(request.match_info["sid"])
        if number is None:
            return _error(404, 20404, "The requested resource was not found")
        if what == "release":
            del account.numbers[number["sid"]]
            return web.Response(status=204)
        if what == "update":
            _set(number, form)
        return web.json_response(number)

    def _sold(self, account: Account, form: Mapping[str, str]) -> web.Response:
        if form["PhoneNumber"] not in self.stock:
            return _error(400, 21422, "PhoneNumber is not available.")
        self.stock.remove(form["PhoneNumber"])
        number = account.owns(form["PhoneNumber"])
        _set(number, form)
        return web.json_response(number, status=201)

    def _new_stock(self) -> list[str]:
        area_code = next(AREA_CODES)
        return [f"+1{area_code}555{n:04}" for n in range(1000)]


def _set(number: dict[str, Any], form: Mapping[str, str]) -> None:
    for name, value in form.items():
        if name in SETTABLE:
            number[SETTABLE[name]] = value
    # Setting one deletes the other.
    if form.get("TrunkSid"):
        number["voice_application_sid"] = ""
    if form.get("VoiceApplicationSid"):
        number["trunk_sid"] = None


def _kind(request: web.Request) -> str:
    if "country" in request.match_info:
        return "search"
    one = {"GET": "fetch", "POST": "update", "DELETE": "release"}
    return (one if "sid" in request.match_info else {"GET": "list", "POST": "buy"})[request.method]


def basic(account: Account) -> str:
    return "Basic " + base64.b64encode(f"{account.sid}:{account.token}".encode()).decode()


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _error(
    status: int, code: int, message: str = "", headers: Mapping[str, str] | None = None
) -> web.Response:
    more = f"https://www.twilio.com/docs/errors/{code}"
    body = {"code": code, "message": message, "more_info": more, "status": status}
    return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def running_twilio() -> AsyncIterator[TwilioRest]:
    rest = TwilioRest()
    runner = web.AppRunner(rest.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        rest.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield rest
    finally:
        rest.let_go.set()
        await runner.cleanup()
