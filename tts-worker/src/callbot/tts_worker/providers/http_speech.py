"""A vendor's HTTP: a text in a request, its audio in the body of the answer, piece by piece."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import (
    broken_off,
    malformed,
    refusal,
    unreachable,
    vendor_code,
    within,
    wrong_audio,
)
from callbot.tts_worker.providers.socket_pool import by
from callbot.tts_worker.riff import MalformedRiff, RiffReader

KEPT_S: Final = 300.0
"""How long an idle connection stays open, unless the vendor closes it earlier."""
MAX_JSON_BYTES: Final = 4_000_000
_FILES: Final = (b"ID3", b"OggS", b"fLaC")

Refused = Callable[[int, Any, str | None], ProviderError]
"""From the status, the body where it is JSON (else None), and `Retry-After`."""


@dataclass(frozen=True)
class Request:
    """Its repr has no headers: they hold the key."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    """JSON of a POST; None: a GET."""


def session() -> aiohttp.ClientSession:
    """Every request has its own deadline, so the session has none. Nobody is followed elsewhere."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S)
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_not_followed)
    return aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=None), trace_configs=[trace]
    )


async def _not_followed(*_: object) -> None:
    """For WebSockets, which aiohttp opens wherever it is sent, with every header that it was given."""
    raise aiohttp.ClientConnectionError("sent elsewhere")


def plain_refusal(status: int, body: Any, retry_after: str | None) -> ProviderError:
    return refusal(status, retry_after=retry_after)


async def fetched(session: aiohttp.ClientSession, request: Request, refused: Refused) -> Any:
    """JSON of an answer. Raises ProviderError. Has no deadline."""
    response = await _answered(session, request, refused)
    try:
        return json.loads(await _whole(response))
    except ValueError:
        error = malformed("no JSON")
    except (aiohttp.ClientError, OSError) as e:
        error = unreachable(e)
    finally:
        response.close()
    raise error


async def spoken(
    session: aiohttp.ClientSession, request: Request, refused: Refused, *, until_s: float, within_s: float
) -> AsyncGenerator[bytes, None]:
    """Mu-law: the first piece by `until_s` of the loop's time, each other one `within_s` of the one before.

    An answer that is a WAV file of mu-law at 8 kHz loses its header. Raises ProviderError.
    """
    async with by(until_s):
        response = await _answered(session, request, refused)
    audio = _Audio(response)
    try:
        if response.content_type.startswith("text/") or response.content_type == "application/json":
            raise malformed(f"{vendor_code(response.content_type.replace('/', '.'))} for audio")
        async with by(until_s):
            piece = await audio.more()
        if not piece:
            raise ProviderError("no_audio", "an empty answer", retryable=True)
        while piece:
            yield piece
            async with within(within_s):
                piece = await audio.more()
    finally:
        # Nothing to close where the body was read to its end: the connection is back in the pool then.
        response.close()


class _Audio:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._head = b""
        self._begun = False
        self._riff: RiffReader | None = None

    async def more(self) -> bytes:
        """Empty at the end. Raises ProviderError."""
        while not self._response.content.at_eof():
            piece = await self._read()
            try:
                audio = self._samples(piece)
            except MalformedRiff as e:
                raise malformed(str(e)) from None
            if audio:
                return audio
        return b""

    async def _read(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as e:
            error = broken_off(e)
        raise error

    def _samples(self, piece: bytes) -> bytes:
        if not self._begun:
            self._head += piece
            if len(self._head) < 4 and not self._response.content.at_eof():
                return b""
            piece, self._head, self._begun = self._head, b"", True
            if piece.startswith(_FILES):
                raise wrong_audio("a file, not mu-law")
            self._riff = RiffReader() if piece.startswith(b"RIFF") else None
        if self._riff is None:
            return piece
        samples = self._riff.feed(piece)
        if self._riff.format is not None and not self._riff.format.is_telephone:
            raise wrong_audio(f"{self._riff.format.rate_hz} Hz, kind {self._riff.format.tag}")
        return samples


async def _answered(
    session: aiohttp.ClientSession, request: Request, refused: Refused
) -> aiohttp.ClientResponse:
    """One with status 200, whose body is still to be read. Raises ProviderError."""
    response = await _sent(session, request)
    if response.status == 200:
        return response
    try:
        body = json.loads(await _whole(response))
    except (aiohttp.ClientError, OSError, ValueError):
        body = None
    finally:
        response.close()
    raise refused(response.status, body, response.headers.get("Retry-After"))


async def _sent(session: aiohttp.ClientSession, request: Request) -> aiohttp.ClientResponse:
    """A kept connection that the vendor has closed meanwhile is replaced once. Raises ProviderError."""
    for _ in range(2):
        try:
            return await session.request(
                "GET" if request.body is None else "POST",
                request.url,
                headers=request.headers,
                params=request.params,
                json=request.body,
                # The vendor's key is for the vendor.
                allow_redirects=False,
            )
        except aiohttp.ClientConnectorError as e:
            error = unreachable(e)
            break
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as e:
            error = unreachable(e)
        except (aiohttp.ClientError, OSError) as e:
            error = unreachable(e)
            break
    raise error


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    while not response.content.at_eof():
        body += await response.content.readany()
        if len(body) > MAX_JSON_BYTES:
            raise ValueError("too long")
    return body
