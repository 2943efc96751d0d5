"""Signed requests to Polly over connections that are kept open."""

import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import broken_off, malformed, unreachable, wrong_audio
from callbot.tts_worker.providers.aws_signature import Credentials, Scope, signed
from callbot.tts_worker.providers.kept_open import KeptOpen
from callbot.tts_worker.providers.polly_errors import clock_is_off, error_of
from callbot.tts_worker.providers.polly_voices import PollyVoice, read_voices

KEPT_S: Final = 55.0
"""How long an idle connection is kept."""
MAX_ERROR_BYTES: Final = 4096
MAX_PAGES: Final = 20
_MULAW: Final = frozenset({"audio/mulaw", "audio/x-mulaw", "audio/mu-law", "audio/basic", "audio/pcmu"})
_A_FEW_VOICES: Final = "/v1/voices?Engine=neural&LanguageCode=en-US"
log = logging.getLogger(__name__)


class PollyRequests:
    """Use as an async context manager. Methods raise ProviderError; deadlines are the caller's."""

    def __init__(self, base_url: str, region: str, credentials: Credentials) -> None:
        self._base_url = base_url
        self._scope = Scope(region, "polly")
        self._credentials = credentials
        self._clock_behind = timedelta()
        self._session: aiohttp.ClientSession | None = None
        self._kept = KeptOpen(self._knock, provider="polly")

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        await self._kept.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._kept.__aexit__(None, None, None)
        if self._session is not None:
            await self._session.close()

    async def speech(self, body: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """The mu-law of SynthesizeSpeech while it is made. `aclose()` closes the connection."""
        self._kept.wanted()
        data = json.dumps(body, ensure_ascii=False).encode()
        answer = await self._sent("POST", "/v1/speech", {"Content-Type": "application/json"}, data)
        ended = False
        try:
            _check_content(answer.content_type)
            while chunk := await _read(answer):
                yield chunk
            ended = True
        finally:
            answer.close()
            if not ended:
                # Its connection is gone: the next sentence should find another one open.
                self._kept.lost()

    async def voices(self) -> list[PollyVoice]:
        """All of DescribeVoices."""
        voices: list[PollyVoice] = []
        path = "/v1/voices?IncludeAdditionalLanguageCodes=yes"
        next_page = path
        for _ in range(MAX_PAGES):
            page = await self._page(next_page)
            try:
                voices += read_voices(page)
                token = page.get("NextToken")
            except (TypeError, KeyError, AttributeError):
                raise malformed("no list of voices") from None
            if not token:
                break
            next_page = f"{path}&NextToken={quote(str(token), safe='')}"
        return voices

    async def warm(self) -> None:
        """Returns when a connection is open and idle, or none is to be had in time. Raises nothing."""
        await self._kept.warm()

    async def _page(self, path: str) -> Any:
        answer = await self._sent("GET", path, {}, b"")
        try:
            data = bytearray()
            while chunk := await _read(answer):
                data += chunk
            return json.loads(data)
        except ValueError:
            raise malformed("no JSON") from None
        finally:
            answer.release()

    async def _sent(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """An answer that the vendor has begun with a success. Its other ones are raised."""
        assert self._session is not None
        failure: ProviderError | None = None
        # A connection that was kept may have been closed at the other end: once more, over another one.
        for _ in range(2):
            at = datetime.now(UTC)
            try:
                answer = await self._session.request(
                    method,
                    URL(self._base_url + path, encoded=True),
                    data=body,
                    headers=self._signed(method, path, headers, body, at + self._clock_behind),
                    allow_redirects=False,
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError) as e:
                failure = unreachable(e)
            except (aiohttp.ClientError, OSError) as e:
                failure = unreachable(e)
                break
            else:
                if answer.status == 200:
                    return answer
                failure = await self._refused(answer, at)
                break
        # Outside of the handler: aiohttp's errors carry what was sent.
        assert failure is not None
        raise failure

    def _signed(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, at: datetime
    ) -> dict[str, str]:
        return signed(
            method,
            self._base_url + path,
            headers,
            body,
            credentials=self._credentials,
            scope=self._scope,
            at=at,
        )

    async def _refused(self, answer: aiohttp.ClientResponse, at: datetime) -> ProviderError:
        body = b""
        with suppress(aiohttp.ClientError, OSError):
            body = await answer.content.read(MAX_ERROR_BYTES)
        answer.release()
        failure = error_of(answer.status, answer.headers, body, signed_at=at + self._clock_behind)
        if failure.code == "clock_is_off":
            self._clock_behind = clock_is_off(answer.headers, at) or timedelta()
            log.error(
                "this machine's clock is off: AWS takes no signature by it",
                extra={"seconds_behind": round(self._clock_behind.total_seconds())},
            )
        return failure

    async def _knock(self) -> None:
        try:
            await self._page(_A_FEW_VOICES)
        except ProviderError as e:
            log.debug("Polly's connection is not warm", extra={"reason": str(e)})


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """What has come since, empty at the end. Raises ProviderError."""
    try:
        return await answer.content.readany()
    except (aiohttp.ClientError, OSError) as e:
        failure = broken_off(e)
    raise failure


def _check_content(content_type: str) -> None:
    kind = content_type.lower()
    if kind in _MULAW:
        return
    if kind.startswith("audio/"):
        raise wrong_audio("another kind than mu-law")
    raise malformed("no audio")
