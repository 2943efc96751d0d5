"""One POST to the customer's webhook."""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from aiohttp import StreamReader
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage

from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.webhook_answer import InvalidAnswer, read_answer
from callbot.runtime.settings import is_loopback
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.webhook import WebhookAnswer, WebhookRequest

log = logging.getLogger(__name__)

MOST_INTERIM_RESPONSES = 5
MAX_ANSWER_BYTES = 64 * 1024
USER_AGENT = "CallBot-Studio/1 (webhook)"
CONNECTIONS = 512
CONNECTIONS_A_HOST = 64
WARM_S = 60.0


@dataclass(frozen=True, slots=True)
class WebhookOutcome:
    status: WebhookStatus
    detail: str
    """What was wrong, without the customer's data."""
    ms: float | None
    answer: WebhookAnswer | None = None


class _Failed(Exception):
    def __init__(self, status: WebhookStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Webhooks:
    """Every customer's webhook, over connections that are kept for the next turn."""

    def __init__(self, session: aiohttp.ClientSession, *, within_s: float, allow_http_loopback: bool) -> None:
        self._session = session
        self._within_s = within_s
        self._allow_http_loopback = allow_http_loopback

    async def ask(self, url: str, secret: str, request: WebhookRequest) -> WebhookOutcome:
        """Answers within the deadline, whatever is at the other end; raises nothing."""
        if reason := forbidden(url, allow_http_loopback=self._allow_http_loopback):
            return WebhookOutcome(WebhookStatus.UNREACHABLE, reason, None)
        body = request.model_dump_json(by_alias=True).encode()
        headers = _headers(secret, body, request.turn_id)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._within_s):
                answer, odd = read_answer(await self._post(url, body, headers))
        except TimeoutError:
            failure = _Failed(WebhookStatus.TIMEOUT, f"no answer within {self._within_s:g} s")
        except InvalidAnswer as e:
            failure = _Failed(WebhookStatus.INVALID, str(e))
        except _Failed as e:
            failure = e
        except (aiohttp.ClientError, OSError, ValueError) as e:
            failure = _Failed(WebhookStatus.UNREACHABLE, _reason(e))
        else:
            return WebhookOutcome(WebhookStatus.OK, odd, _ms_since(began), answer)
        return WebhookOutcome(failure.status, failure.detail, _ms_since(began))

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> bytes:
        try:
            return await self._post_once(url, body, headers)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as e:
            if isinstance(e, aiohttp.ClientConnectorError):
                raise
            # A kept connection may have been closed just then; the Idempotency-Key makes a second POST safe.
            return await self._post_once(url, body, headers)

    async def _post_once(self, url: str, body: bytes, headers: dict[str, str]) -> bytes:
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            if not 200 <= response.status < 300:
                raise _Failed(WebhookStatus.BAD_STATUS, f"HTTP {response.status}")
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > MAX_ANSWER_BYTES:
                    raise _Failed(WebhookStatus.TOO_LARGE, f"more than {MAX_ANSWER_BYTES} bytes")
            return bytes(received)


def forbidden(url: str, *, allow_http_loopback: bool) -> str:
    """Why this address may not be called; empty where it may. Every rule about addresses belongs here."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address is not a URL"
    if parts.scheme == "https" or (
        parts.scheme == "http" and allow_http_loopback and is_loopback(parts.hostname)
    ):
        return ""
    return "only https:// addresses are called"


def signature(secret: str, at_s: int, body: bytes) -> str:
    """`X-Callbot-Signature`: HMAC-SHA256 of `t.body`, in hex."""
    signed = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={signed}"


@asynccontextmanager
async def open_webhooks(settings: Settings) -> AsyncIterator[Webhooks]:
    connector = aiohttp.TCPConnector(
        limit=CONNECTIONS, limit_per_host=CONNECTIONS_A_HOST, keepalive_timeout=WARM_S, ttl_dns_cache=30
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        response_class=_FinalAnswers,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
    ) as session:
        yield Webhooks(
            session,
            within_s=settings.webhook_s,
            allow_http_loopback=settings.webhook_http == "loopback",
        )


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
    known = {
        aiohttp.ClientConnectorDNSError: "the host name cannot be resolved",
        aiohttp.ClientConnectorCertificateError: "the certificate is not valid",
        aiohttp.ClientSSLError: "TLS failed",
        aiohttp.ClientConnectorError: "the connection was refused or failed",
        aiohttp.ServerDisconnectedError: "the connection was closed without an answer",
        aiohttp.ClientPayloadError: "the answer ended early",
    }
    return next((text for kind, text in known.items() if isinstance(e, kind)), type(e).__name__)


def _ms_since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
