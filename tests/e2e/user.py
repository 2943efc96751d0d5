"""Users of a platform that asks who they are, and phones that call their numbers."""

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from xml.etree import ElementTree

import aiohttp

from callbot.studio.account import Account
from callbot.studio.emulator import Hook, Number
from callbot.studio.emulator.call_parameters import CallStatus, new_sid, standard
from callbot.studio.emulator.rest_answers import path_of
from callbot.studio.emulator.rest_client import number_called
from callbot.studio.emulator.signature import HEADER, request_signature
from callbot.studio.up import Platform

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)
Json = dict[str, Any]


class User:
    """Asks the API with a credential."""

    def __init__(self, http: aiohttp.ClientSession, headers: Mapping[str, str]) -> None:
        self.http, self.headers = http, headers

    async def ask(self, method: str, path: str, status: int = 200, body: Any = None, **headers: str) -> Any:
        """The body of the answer, which must have this status."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.http.request(method, path, json=body, headers=sent) as answer:
            text = await answer.text()
            assert answer.status == status, (method, path, answer.status, text)
            return json.loads(text)

    async def refused(self, method: str, path: str, status: int, code: str, body: Any = None) -> Json:
        error: Json = (await self.ask(method, path, status, body))["error"]
        assert error["code"] == code, error
        return error

    async def bot(self, webhook: str = "https://example.com/bot", **fields: Any) -> Json:
        return dict(await self.ask("POST", "/v1/bots", 200, {"goal": "Test", "webhook": webhook, **fields}))

    async def connect(self, platform: Platform) -> str:
        """A new number of the emulated Twilio's customer, connected; the number."""
        number = await buy_number(platform)
        account = platform.twilio.accounts.customer
        body = {
            "account_sid": account.sid,
            "auth_token": account.auth_token,
            "phone_number_sid": number["sid"],
        }
        connected = await self.ask("POST", "/v1/connect-twilio", 200, body)
        assert connected == {"message": "Connected", "phone_number": number["phone_number"]}
        return str(number["phone_number"])


@asynccontextmanager
async def signed_up(platform: Platform) -> AsyncIterator[User]:
    """A new user, with an access token."""
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(platform.url, timeout=timeout) as http:
        stranger = User(http, {})
        who = {"email": f"user{next(_numbers)}@callbot.example", "password": PASSWORD}
        assert (await stranger.ask("POST", "/v1/auth/signup", 201, who))["email"] == who["email"]
        token = await stranger.ask("POST", "/v1/auth/token", 200, who)
        assert token["token_type"] == "bearer" and token["expires_in"] > 0
        yield User(http, {"Authorization": f"Bearer {token['access_token']}"})


async def twilio_asked(
    platform: Platform,
    method: str,
    *path: str,
    form: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> Json:
    """The emulated Twilio's REST API, as its customer."""
    account = platform.twilio.accounts.customer
    headers = {"Authorization": aiohttp.encode_basic_auth(account.sid, account.auth_token or "")}
    url = platform.twilio.api_url + path_of(account.sid, *path)
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as http,
        http.request(method, url, data=form, params=query) as answer,
    ):
        return dict(await answer.json())


async def buy_number(platform: Platform) -> Json:
    return await twilio_asked(platform, "POST", "IncomingPhoneNumbers", form={"AreaCode": "415"})


async def ringing(platform: Platform, phone_number: str) -> Number:
    """The number as its account has set it up."""
    number = await number_called(platform.twilio, phone_number)
    assert number is not None
    return number


class Ring:
    """One voice request as Twilio makes it; everything may be changed, to be refused."""

    def __init__(self, number: Number, call_sid: str | None = None, **changed: str) -> None:
        form = standard(
            call_sid or new_sid("CA"),
            number.account.sid,
            "+14155550100",
            number.phone_number,
            CallStatus.RINGING,
        )
        self.form = {**form, **changed}
        self.url, self.account = number.voice.url, number.account

    async def answered(
        self,
        http: aiohttp.ClientSession,
        url: str | None = None,
        signed_by: Account | None = None,
        **headers: str,
    ) -> tuple[int, str]:
        """Status and body. An account without a token does not sign."""
        token = (signed_by or self.account).auth_token
        signed = {HEADER: request_signature(token, url or self.url, self.form)} if token else {}
        sent = {**signed, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with http.post(url or self.url, data=self.form, headers=sent) as answer:
            return answer.status, await answer.text()


def action_of(document: str) -> Hook:
    """Where Twilio goes when the stream of this document is over."""
    return Hook(ElementTree.fromstring(document)[0].attrib["action"])


def stream_of(document: str) -> tuple[str, str]:
    """The stream's URL and its token."""
    stream = ElementTree.fromstring(document)[0][0]
    return stream.attrib["url"], stream[0].attrib["value"]
