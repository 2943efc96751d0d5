"""Twilio's HTTP requests to us: signed, 15 s in all, at most two attempts to connect; TwiML comes back."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from callbot.studio.account import Account
from callbot.studio.emulator import twiml
from callbot.studio.emulator.complaints import Code, Rejected
from callbot.studio.emulator.signature import HEADER, request_signature


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Twilio's, from its page on 11205."""

    total_s: float = 15.0
    connect_s: float = 5.0
    connect_attempts: int = 2


class Webhooks:
    """Requests in the name of one account."""

    def __init__(self, http: aiohttp.ClientSession, account: Account, deadlines: Deadlines) -> None:
        self._http = http
        self._account = account
        self._deadlines = deadlines

    async def document(self, method: str, url: str, parameters: Mapping[str, str]) -> twiml.Document:
        """Raises Rejected: 11205 out of reach or too slow, 11200 not 2xx, or what is wrong with the TwiML."""
        status, content_type, body = await self._request(method, url, parameters)
        if not 200 <= status < 300:
            raise Rejected(Code.RETRIEVAL_FAILED, f"{url:.100} answered {status}")
        return twiml.parse(body, content_type)

    async def notify(self, method: str, url: str, parameters: Mapping[str, str]) -> None:
        """A status callback. Raises Rejected."""
        status, _, _ = await self._request(method, url, parameters)
        if not 200 <= status < 300:
            raise Rejected(Code.RETRIEVAL_FAILED, f"{url:.100} answered {status}")

    async def _request(self, method: str, url: str, parameters: Mapping[str, str]) -> tuple[int, str, bytes]:
        url = url.partition("#")[0]
        form = dict(parameters)
        if method == "GET":
            url, form = url + ("&" if "?" in url else "?") + urlencode(form), {}
        try:
            async with asyncio.timeout(self._deadlines.total_s):
                return await self._attempts(method, url, form, self._headers(url, form))
        except TimeoutError:
            raise Rejected(Code.CONNECTION_FAILED, f"{url:.100} did not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Rejected(Code.CONNECTION_FAILED, f"{url:.100} is out of reach: {error}") from None

    def _headers(self, url: str, form: Mapping[str, str]) -> dict[str, str]:
        token = self._account.auth_token
        return {
            **({} if token is None else {HEADER: request_signature(token, url, form)}),
            "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
        }

    async def _attempts(
        self, method: str, url: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        for left in range(self._deadlines.connect_attempts - 1, -1, -1):
            try:
                return await self._once(method, url, form, headers)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                if not left:
                    raise
        raise ValueError("no attempt to connect is allowed")

    async def _once(
        self, method: str, url: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        async with self._http.request(
            method,
            URL(url, encoded=True),
            data=form or None,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._deadlines.connect_s),
        ) as response:
            body = bytearray()
            async for piece in response.content.iter_chunked(16 * 1024):
                body += piece
                if len(body) > twiml.MAX_BODY_BYTES:
                    break
            return response.status, response.headers.get("Content-Type", ""), bytes(body)
