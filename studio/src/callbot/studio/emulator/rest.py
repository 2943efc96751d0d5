"""Twilio's REST API (https://www.twilio.com/docs/usage/api), as far as a phone platform needs it.

`python -m callbot.studio.emulator.rest --port PORT --data DIR` serves the accounts of a data directory. The
shapes are those of Twilio's own OpenAPI document (twilio-oai, twilio_api_v2010.json).
"""

import argparse
import base64
import binascii
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from callbot.studio.account import Account, Accounts
from callbot.studio.emulator.emulator import Emulator
from callbot.studio.emulator.rest_answers import (
    API_VERSION,
    AUTHENTICATE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TOO_MANY_REQUESTS,
    TwilioError,
    not_found,
    page,
)
from callbot.studio.emulator.rest_calls import Calls
from callbot.studio.emulator.rest_numbers import COUNTRIES, Numbers, Resource

NUMBERS_FILE = "twilio-numbers.json"
_MAX_FORM_BYTES = 64 * 1024
_ACCOUNT: web.RequestKey[Account] = web.RequestKey("account", Account)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TwilioRest:
    """`app()` once. An emulated Twilio for any number of accounts, also inside a test."""

    def __init__(self, accounts: Mapping[str, Account], numbers: Numbers) -> None:
        """`accounts` by their SID."""
        self.numbers = numbers
        self.busy = 0
        """So many requests more are answered 429: "never processed, safe to retry"."""
        self.down = 0
        """So many requests more are answered 503, after they were done."""
        self._accounts = accounts
        self._calls: Calls | None = None

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._as_twilio], client_max_size=_MAX_FORM_BYTES)
        here = f"/{API_VERSION}/Accounts/{{account}}"
        numbers, calls = f"{here}/IncomingPhoneNumbers", f"{here}/Calls"
        app.add_routes(
            [
                web.get("/health", _health),
                web.get(f"{here}/AvailablePhoneNumbers/{{country}}/Local.json", self._search),
                web.get(f"{numbers}.json", self._list),
                web.post(f"{numbers}.json", self._buy),
                web.get(f"{numbers}/{{sid}}.json", self._fetch),
                web.post(f"{numbers}/{{sid}}.json", self._update),
                web.delete(f"{numbers}/{{sid}}.json", self._release),
                web.post(f"{calls}.json", self._call),
                web.get(f"{calls}/{{sid}}.json", self._fetch_call),
                web.post(f"{calls}/{{sid}}.json", self._update_call),
            ]
        )
        app.cleanup_ctx.append(self._phones)
        return app

    @web.middleware
    async def _as_twilio(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path.startswith(f"/{API_VERSION}/"):
                request[_ACCOUNT] = self._authenticated(request)
                if self.busy:
                    self.busy -= 1
                    raise TwilioError(429, TOO_MANY_REQUESTS, "Too Many Requests")
            answer = await handler(request)
            if self.down:
                self.down -= 1
                raise TwilioError(503, 20503, "Service unavailable")
            return answer
        except TwilioError as e:
            return e.response()
        except web.HTTPException as e:
            code = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}.get(e.status, 20001)
            return TwilioError(e.status, code, e.reason).response()

    def _authenticated(self, request: web.Request) -> Account:
        """Basic auth with the SID of the account in the path. Raises TwilioError."""
        kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            sid, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            sid = token = ""
        account = self._accounts.get(sid)
        known = (account.auth_token if account else None) or ""
        right = bool(known) and hmac.compare_digest(known.encode(), token.encode())
        if kind.lower() != "basic" or account is None or not right:
            raise TwilioError(401, AUTHENTICATE, "Authenticate")
        if request.path.split("/")[3].removesuffix(".json") != sid:
            raise not_found(request.path)
        return account

    async def _phones(self, _app: web.Application) -> AsyncIterator[None]:
        async with Emulator() as emulator:
            self._calls = Calls(emulator)
            yield
            await self._calls.close()

    async def _search(self, request: web.Request) -> web.Response:
        country = request.match_info["country"]
        if country not in COUNTRIES:
            raise not_found(request.path)
        size = request.query.get("PageSize", "20")
        found = self.numbers.search(country, request.query, min(int(size), 50) if size.isdigit() else 20)
        return web.json_response({"available_phone_numbers": found, "uri": request.path_qs})

    async def _list(self, request: web.Request) -> web.Response:
        found = self.numbers.listed(request[_ACCOUNT].sid, request.query)
        return page(request.path, request.query, "incoming_phone_numbers", found)

    async def _buy(self, request: web.Request) -> web.Response:
        bought = self.numbers.buy(request[_ACCOUNT].sid, await _form(request))
        return web.json_response(bought, status=201)

    async def _fetch(self, request: web.Request) -> web.Response:
        return web.json_response(self._number(request))

    async def _update(self, request: web.Request) -> web.Response:
        form = await _form(request)
        return web.json_response(self.numbers.change(self._number(request), form))

    async def _release(self, request: web.Request) -> web.Response:
        self.numbers.release(self._number(request))
        return web.Response(status=204)

    async def _call(self, request: web.Request) -> web.Response:
        form = await _form(request)
        number = self.numbers.called(form.get("To", ""), self._accounts)
        return web.json_response(self.calls.create(request[_ACCOUNT], form, number), status=201)

    async def _fetch_call(self, request: web.Request) -> web.Response:
        found = self.calls.get(request[_ACCOUNT].sid, request.match_info["sid"])
        if found is None:
            raise not_found(request.path)
        return web.json_response(found)

    async def _update_call(self, request: web.Request) -> web.Response:
        await self._fetch_call(request)
        return web.json_response(self.calls.update(request.match_info["sid"], await _form(request)))

    @property
    def calls(self) -> Calls:
        if self._calls is None:
            raise RuntimeError("the application has not been started")
        return self._calls

    def _number(self, request: web.Request) -> Resource:
        found = self.numbers.get(request[_ACCOUNT].sid, request.match_info["sid"])
        if found is None:
            raise not_found(request.path)
        return found


async def _health(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _form(request: web.Request) -> dict[str, str]:
    """Of a repeated field the last value."""
    try:
        return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    except ValueError as e:
        raise TwilioError(400, 20001, "The form cannot be read") from e


def twilio_in(data: Path) -> TwilioRest:
    """The accounts of a data directory; the customer's has a number from the start.

    Raises OSError, ValueError.
    """
    kept = Accounts.read(data)
    file = data / NUMBERS_FILE
    first = not file.exists()
    numbers = Numbers(file)
    if first:
        numbers.buy(kept.customer.sid, {"AreaCode": "415"})
    return TwilioRest({account.sid: account for account in (kept.platform, kept.customer)}, numbers)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    told = parser.parse_args()
    app = twilio_in(told.data).app()
    web.run_app(app, host="127.0.0.1", port=told.port, print=None, access_log=None, shutdown_timeout=0.2)


if __name__ == "__main__":
    main()
