"""One POST to the customer's webhook."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import StreamReader
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage

from callbot.dialog_worker.connections import AddressRefused, open_connector
from callbot.dialog_worker.lookups import Lookups, TooManyLookups, looked_up_for
from callbot.dialog_worker.permits import NoPermit, Permits
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook_answer import InvalidAnswer, read_answer
from callbot.runtime.webhook_address import NOT_A_URL, WebhookAddresses
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.webhook import WebhookAnswer, WebhookRequest

MOST_INTERIM_RESPONSES = 5
MAX_ANSWER_BYTES = 64 * 1024
USER_AGENT = "CallBot-Studio/1 (webhook)"
ATTEMPTS = 2
ANSWER_TAKES_S = 0.5
"""A permit that leaves less than this until the deadline is none: the webhook would look too slow."""


@dataclass(frozen=True, slots=True)
class WebhookOutcome:
    status: WebhookStatus
    detail: str
    """What was wrong, without the customer's data."""
    ms: float | None
    """From when we wanted to call; None: the address was refused as it is written."""
    answer: WebhookAnswer | None = None
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class _Received:
    http_status: int
    body: bytes


class _Failed(Exception):
    def __init__(self, status: WebhookStatus, detail: str, http_status: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.http_status = http_status


class Webhooks:
    """Every customer's webhook, over connections that are kept for the next turn."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        addresses: WebhookAddresses,
        permits: Permits | None,
        *,
        within_s: float,
    ) -> None:
        """`permits`: None is no limit."""
        self._session = session
        self._addresses = addresses
        self._permits = permits
        self._within_s = within_s

    async def ask(self, url: str, secret: str, request: WebhookRequest, user_id: str) -> WebhookOutcome:
        """Answers within the deadline, whatever is at the other end; raises nothing."""
        if reason := self._addresses.refusal_of_url(url):
            return WebhookOutcome(WebhookStatus.UNREACHABLE, reason, None)
        looked_up_for.set(user_id)
        body = request.model_dump_json(by_alias=True).encode()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._within_s):
                received = await self._post(url, body, secret, request.turn_id, user_id)
            answer, odd = _read(received)
        except TimeoutError:
            failure = _Failed(WebhookStatus.TIMEOUT, f"no answer within {self._within_s:g} s")
        except NoPermit:
            failure = _Failed(WebhookStatus.RATE_LIMITED, "429 too many webhook calls a second")
        except _Failed as e:
            failure = e
        except (aiohttp.ClientError, OSError, ValueError) as e:
            failure = _Failed(WebhookStatus.UNREACHABLE, _reason(e))
        else:
            return WebhookOutcome(WebhookStatus.OK, odd, _ms_since(began), answer, received.http_status)
        return WebhookOutcome(
            failure.status, failure.detail, _ms_since(began), http_status=failure.http_status
        )

    async def _post(self, url: str, body: bytes, secret: str, key: str, user_id: str) -> _Received:
        """A kept connection may have been closed just then; the Idempotency-Key makes a second POST safe."""
        until_s = time.monotonic() + self._within_s
        for attempt in range(ATTEMPTS):
            if self._permits is not None:
                await self._permits.wait(user_id, until_s - time.monotonic() - ANSWER_TAKES_S)
            try:
                return await self._post_once(url, body, _headers(secret, body, key))
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _post_once(self, url: str, body: bytes, headers: dict[str, str]) -> _Received:
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            status = response.status
            if not 200 <= status < 300:
                raise _Failed(WebhookStatus.BAD_STATUS, f"HTTP {status}", status)
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > MAX_ANSWER_BYTES:
                    raise _Failed(WebhookStatus.TOO_LARGE, f"more than {MAX_ANSWER_BYTES} bytes", status)
            return _Received(status, bytes(received))


def _read(received: _Received) -> tuple[WebhookAnswer, str]:
    try:
        return read_answer(received.body)
    except InvalidAnswer as e:
        raise _Failed(WebhookStatus.INVALID, str(e), received.http_status) from e


def signature(secret: str, at_s: int, body: bytes) -> str:
    """`X-Callbot-Signature`: HMAC-SHA256 of `t.body`, in hex."""
    signed = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={signed}"


@asynccontextmanager
async def open_webhooks(
    settings: Settings, permits: Permits | None, resolver: AbstractResolver | None = None
) -> AsyncIterator[Webhooks]:
    """`resolver`: None looks names up as this machine does."""
    addresses = WebhookAddresses(settings.webhook_http, settings.webhook_allow)
    async with aiohttp.ClientSession(
        connector=open_connector(addresses, resolver or Lookups()),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        response_class=_FinalAnswers,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
    ) as session:
        yield Webhooks(session, addresses, permits, within_s=settings.webhook_s)


class _FinalAnswers(aiohttp.ClientResponse):
    """Few interim responses (1xx) are read: aiohttp reads on without ever yielding while they come."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        if protocol is None:
            return await super().start(connection)
        read = protocol.read
        interim = 0

        async def bounded() -> tuple[RawResponseMessage, StreamReader]:
            nonlocal interim
            message, payload = await read()
            interim += 100 <= message.code < 200
            if interim > MOST_INTERIM_RESPONSES:
                raise aiohttp.ClientPayloadError("too many interim responses")
            return message, payload

        protocol.read = bounded  # type: ignore[method-assign]
        try:
            return await super().start(connection)
        finally:
            protocol.read = read  # type: ignore[method-assign]


def _headers(secret: str, body: bytes, turn_id: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept": "application/json",
        # An answer that is not compressed cannot unfold into something huge.
        "Accept-Encoding": "identity",
        "User-Agent": USER_AGENT,
        "X-Callbot-Signature": signature(secret, int(time.time()), body),
        "Idempotency-Key": turn_id,
    }


def _reason(e: Exception) -> str:
    """Few words without the address: the record is read by people, the class name by us."""
    if isinstance(e, aiohttp.ClientConnectorError) and isinstance(
        e.os_error, (AddressRefused, TooManyLookups)
    ):
        return str(e.os_error)
    known = {
        aiohttp.ClientConnectorDNSError: "the host name cannot be resolved",
        aiohttp.ClientConnectorCertificateError: "the certificate is not valid",
        aiohttp.ClientSSLError: "TLS failed",
        aiohttp.ClientConnectorError: "the connection was refused or failed",
        aiohttp.ServerDisconnectedError: "the connection was closed without an answer",
        aiohttp.ClientPayloadError: "the answer ended early",
        aiohttp.InvalidURL: NOT_A_URL,
    }
    return next((text for kind, text in known.items() if isinstance(e, kind)), type(e).__name__)


def _ms_since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
