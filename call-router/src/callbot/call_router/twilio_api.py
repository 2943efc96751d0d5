"""The few requests that we make to Twilio's REST API: read, set, buy and release a number.

Twilio's SDK ignores its own timeout and repeats POSTs, so this is plain HTTP: Basic auth and forms in, JSON
out. https://www.twilio.com/docs/phone-numbers/api: incomingphonenumber-resource and
availablephonenumberlocal-resource.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from callbot.call_router.twilio_errors import (
    TwilioAuthFailed,
    TwilioError,
    TwilioNotFound,
    TwilioRejected,
    TwilioUnavailable,
)
from callbot.schemas.bots import E164
from callbot.schemas.message import Message

REQUEST_S = 3.0
"""For one request, connecting and reading included."""
TRIES = 3
BACKOFF_S = 0.2
LONGEST_WAIT_S = 2.0
"""A longer Retry-After is not waited for."""
MAX_ANSWER_BYTES = 1_000_000
T = TypeVar("T")
AUTHENTICATION_FAILED = 20003
"""https://www.twilio.com/docs/api/errors/20003"""

Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
"""Twilio says null for what is not set."""


@dataclass(frozen=True)
class TwilioAccount:
    sid: str
    auth_token: str = field(repr=False)


class PhoneNumber(Message):
    """A number of an account, with where Twilio sends its calls."""

    sid: str
    phone_number: E164
    friendly_name: Text = ""
    voice_url: Text = ""
    voice_method: Text = ""
    voice_fallback_url: Text = ""
    voice_fallback_method: Text = ""
    status_callback: Text = ""
    status_callback_method: Text = ""
    voice_application_sid: Text = ""
    trunk_sid: Text = ""


class _Available(Message):
    phone_number: E164


_NUMBER = TypeAdapter(PhoneNumber)
_NUMBERS = TypeAdapter(list[PhoneNumber])
_AVAILABLE = TypeAdapter(list[_Available])


class TwilioApi:
    """Every method raises TwilioError. The callers bound what their requests take together."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def number(self, account: TwilioAccount, sid: str) -> PhoneNumber:
        return _read(_NUMBER, await self._ask(account, "GET", _one(sid)))

    async def change_number(self, account: TwilioAccount, sid: str, changes: Mapping[str, str]) -> None:
        """Repeated like a GET: the same values twice change nothing."""
        await self._ask(account, "POST", _one(sid), form=changes)

    async def numbers_named(self, account: TwilioAccount, friendly_name: str) -> list[PhoneNumber]:
        query = {"FriendlyName": friendly_name, "PageSize": "50"}
        found = await self._ask(account, "GET", "IncomingPhoneNumbers.json", query=query)
        numbers = _read(_NUMBERS, found.get("incoming_phone_numbers"))
        return [number for number in numbers if number.friendly_name == friendly_name]

    async def available_numbers(self, account: TwilioAccount, country: str, area_code: str) -> list[str]:
        """Local numbers that take calls and need no address."""
        query = {"VoiceEnabled": "true", "ExcludeAllAddressRequired": "true", "PageSize": "20"}
        if area_code:
            query["AreaCode"] = area_code
        path = f"AvailablePhoneNumbers/{country}/Local.json"
        found = await self._ask(account, "GET", path, query=query)
        return [n.phone_number for n in _read(_AVAILABLE, found.get("available_phone_numbers"))]

    async def buy(
        self, account: TwilioAccount, phone_number: str, friendly_name: str, settings: Mapping[str, str]
    ) -> PhoneNumber:
        """Asked once, whatever happens: a repetition might buy a second time."""
        form = {**settings, "PhoneNumber": phone_number, "FriendlyName": friendly_name}
        bought = await self._ask(account, "POST", "IncomingPhoneNumbers.json", form=form, tries=1)
        return _read(_NUMBER, bought)

    async def release(self, account: TwilioAccount, sid: str) -> None:
        """A number that is gone already is released."""
        try:
            await self._ask(account, "DELETE", _one(sid))
        except TwilioNotFound:
            return

    async def _ask(
        self,
        account: TwilioAccount,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        tries: int = TRIES,
    ) -> dict[str, Any]:
        url = f"{self._url}/2010-04-01/Accounts/{quote(account.sid, safe='')}/{path}"
        headers = {"Authorization": aiohttp.encode_basic_auth(account.sid, account.auth_token)}
        for tries_left in range(tries - 1, -1, -1):
            try:
                return await self._once(method, url, headers=headers, data=form, params=query)
            except TwilioUnavailable as e:
                wait_s = e.retry_after_s or BACKOFF_S * (tries - tries_left) * random.uniform(0.5, 1.5)
                if not tries_left or wait_s > LONGEST_WAIT_S:
                    raise
            await asyncio.sleep(wait_s)
        raise AssertionError("the last try answers or raises")

    async def _once(self, method: str, url: str, **request: Any) -> dict[str, Any]:
        # `from None`: aiohttp's errors carry the request, and with it the credentials.
        try:
            async with (
                asyncio.timeout(REQUEST_S),
                self._session.request(method, url, allow_redirects=False, **request) as answer,
            ):
                return _understood(answer, await _body(answer))
        except TimeoutError:
            raise TwilioUnavailable(f"no answer in {REQUEST_S:g} s") from None
        except aiohttp.ClientConnectorError as e:
            raise TwilioUnavailable(type(e).__name__, may_have_happened=False) from None
        except (aiohttp.ClientError, OSError) as e:
            raise TwilioUnavailable(type(e).__name__) from None


@asynccontextmanager
async def open_twilio(url: str) -> AsyncIterator[TwilioApi]:
    # Requests are rare: a connection that Twilio has closed meanwhile would cost one of the tries.
    connector = aiohttp.TCPConnector(force_close=True)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield TwilioApi(session, url)


def _one(sid: str) -> str:
    return f"IncomingPhoneNumbers/{quote(sid, safe='')}.json"


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise TwilioUnavailable("an answer that is too large")
    return bytes(body)


def _understood(answer: aiohttp.ClientResponse, body: bytes) -> dict[str, Any]:
    status = answer.status
    if status == 204:
        return {}
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    fields = said if isinstance(said, dict) else {}
    if status in (200, 201) and isinstance(said, dict):
        return fields
    raise _error(status, fields, answer.headers.get("Retry-After", ""))


def _error(status: int, fields: Mapping[str, Any], retry_after: str) -> TwilioError:
    """Bodies: {"code": 20404, "message": …, "status": 404}; https://www.twilio.com/docs/usage/twilios-response"""
    code = fields.get("code")
    code = code if isinstance(code, int) else 0
    if status in (401, 403) or code == AUTHENTICATION_FAILED:
        return TwilioAuthFailed(f"HTTP {status}, code {code}")
    if status == 404:
        return TwilioNotFound(f"HTTP 404, code {code}")
    if status == 429:
        wait_s = float(retry_after) if retry_after.isdecimal() else None
        # "never processed, safe to retry": https://www.twilio.com/docs/api/errors/20429
        return TwilioUnavailable("HTTP 429", may_have_happened=False, retry_after_s=wait_s)
    if 400 <= status < 500:
        return TwilioRejected(status, code)
    return TwilioUnavailable(f"HTTP {status}")


def _read(wanted: TypeAdapter[T], said: object) -> T:
    try:
        return wanted.validate_python(said)
    except ValidationError:
        raise TwilioUnavailable("an answer that cannot be read") from None
