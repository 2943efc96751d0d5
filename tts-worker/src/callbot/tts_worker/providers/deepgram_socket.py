"""One WebSocket of Deepgram's Aura (https://developers.deepgram.com/reference/text-to-speech/speak-streaming).

`Speak` and `Flush` in; audio as binary messages and then `Flushed` out. Nothing says to which text audio
belongs, so a connection has one text at once, and one whose text was given up is closed.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

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
from callbot.tts_worker.providers.warm_socket import MAX_AUDIO_BYTES

log = logging.getLogger(__name__)

PROVIDER: Final = "deepgram"
FLUSHES: Final = 20
FLUSHES_PER_S: Final = 60.0
CLOSED_WITHIN_S: Final = 0.5
_BAD_TEXT: Final = (1007, 1008, 1009)
"""Close codes for what we sent: DATA-000x, BIG-000x. 1011: NET-000x, the vendor's own trouble."""


class FlushAllowance:
    """At most 20 in 60 seconds on a connection, by the vendor's rule. `now` in seconds, of any clock."""

    def __init__(self) -> None:
        self._used: deque[float] = deque()

    def left(self, now: float) -> int:
        while self._used and now - self._used[0] >= FLUSHES_PER_S:
            self._used.popleft()
        return FLUSHES - len(self._used)

    def use(self, now: float) -> None:
        self._used.append(now)


class ConnectionGone(Exception):
    """It had ended before anything of the answer came, as one may that was idle."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(error.code)
        self.error = error


class DeepgramSocket:
    """Open from the beginning; `run` lasts as long as it is."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self._flushes = FlushAllowance()
        self._news: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        """Audio of the text in work; None: its end; or why there is no more."""
        self._heard_bytes = 0
        """Of the text in work."""
        self._ended = False
        self.is_free = True
        self.idle_since_s = time.monotonic()

    @property
    def has_room(self) -> bool:
        return self.is_free and not self._ended and not self._ws.closed and self._flushes_left > 0

    @property
    def _flushes_left(self) -> int:
        return self._flushes.left(time.monotonic())

    async def run(self) -> None:
        """Reads until the connection ends."""
        try:
            end = await self._read()
        finally:
            self._ended = True
        self._news.put_nowait(end)

    async def speak(self, text: str, until_s: float, next_within_s: float) -> AsyncGenerator[bytes, None]:
        """The text's audio, the first by `until_s` of the loop's time; to be closed, or read to its end.

        Raises ProviderError, ConnectionGone.
        """
        self.is_free = False
        self._heard_bytes = 0
        whole = heard = False
        loop = asyncio.get_running_loop()
        try:
            async with within(until_s - loop.time()):
                await self._send({"type": "Speak", "text": text}, {"type": "Flush"})
                self._flushes.use(time.monotonic())
            while True:
                async with within(next_within_s if heard else until_s - loop.time()):
                    news = await self._news.get()
                if isinstance(news, Exception):
                    raise _as_heard(news, heard=heard)
                if news is None:
                    break
                heard = True
                yield news
            whole = True
            if not heard:
                raise ProviderError("no_audio", "the vendor said nothing", retryable=True)
        finally:
            self.idle_since_s = time.monotonic()
            if whole:
                self.is_free = True

    async def leave(self) -> None:
        """What it says now is not wanted: the vendor is told so, and the connection ends. Raises nothing."""
        self.is_free = False
        try:
            async with asyncio.timeout(CLOSED_WITHIN_S):
                await self._send({"type": "Clear"}, {"type": "Close"})
                await self._ws.close()
        except (TimeoutError, ConnectionGone):
            log.debug("a connection was left without a farewell", extra={"provider": PROVIDER})

    async def _send(self, *messages: dict[str, str]) -> None:
        try:
            for message in messages:
                await self._ws.send_json(message)
        except (aiohttp.ClientError, OSError, RuntimeError) as e:
            gone = ConnectionGone(unreachable(e))
        else:
            return
        raise gone

    async def _read(self) -> Exception:
        """Why the connection ended."""
        async for message in self._ws:
            if message.type is aiohttp.WSMsgType.BINARY:
                self._heard_bytes += len(message.data)
                if self._heard_bytes > MAX_AUDIO_BYTES:
                    return wrong_audio("audio without an end")
                if not self.is_free and message.data:
                    self._news.put_nowait(message.data)
                continue
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            try:
                if _ends_text(message.data):
                    self._news.put_nowait(None)
            except ProviderError as e:
                return e
            except Exception as e:
                # What a vendor sends may break more than it says: a text waits for the end.
                return malformed(type(e).__name__)
        code = self._ws.close_code or 1006
        if code in _BAD_TEXT:
            return ProviderError("bad_request", f"closed with {code}", retryable=False)
        return ConnectionGone(unreachable(ConnectionResetError()))


def _ends_text(message: str) -> bool:
    """Raises ProviderError."""
    try:
        told = json.loads(message)
        kind = told["type"]
    except (ValueError, LookupError, TypeError):
        raise malformed("no message of the protocol") from None
    if kind == "Flushed":
        return True
    if kind == "Error":
        code = vendor_code(str(told.get("code") or told.get("err_code") or "").lower())
        raise ProviderError("unavailable", f"told {code}".strip(), retryable=True)
    if kind == "Warning":
        code = vendor_code(str(told.get("code") or "").lower())
        log.warning("a provider warns", extra={"provider": PROVIDER, "code": code})
    elif kind not in ("Metadata", "Cleared"):
        raise malformed("an unknown message")
    return False


def _as_heard(end: Exception, *, heard: bool) -> Exception:
    """A connection that ends in the middle of its audio has broken it off."""
    if heard and isinstance(end, ConnectionGone):
        return broken_off()
    return end


async def connected(
    session: aiohttp.ClientSession, url: str, params: dict[str, str], headers: dict[str, str]
) -> DeepgramSocket:
    """Raises ProviderError, which has none of the request in it: that holds the key."""
    try:
        ws = await session.ws_connect(
            url,
            params=params,
            headers=headers,
            heartbeat=20.0,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSED_WITHIN_S),
        )
    except aiohttp.WSServerHandshakeError as e:
        error = _refused(e)
    except (aiohttp.ClientError, OSError) as e:
        error = unreachable(e)
    else:
        return DeepgramSocket(ws)
    raise error


def _refused(e: aiohttp.WSServerHandshakeError) -> ProviderError:
    """400 and `dg-error` with a sentence for a model that does not exist; models are voices here."""
    why, retry_after = (e.headers.get("dg-error"), e.headers.get("Retry-After")) if e.headers else ("", None)
    if e.status == 400 and "model" in (why or "").lower():
        return ProviderError("unknown_voice", "HTTP 400", retryable=False)
    return refusal(e.status, retry_after=retry_after)
