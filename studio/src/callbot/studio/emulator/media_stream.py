"""One bidirectional media stream as Twilio opens it: signed, audio both ways, marks, clear, stop."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from callbot.runtime.settings import is_loopback
from callbot.studio.emulator import twiml
from callbot.studio.emulator.clock import Clock
from callbot.studio.emulator.complaints import Code, Complaint, Complaints, Rejected
from callbot.studio.emulator.cut import Cut
from callbot.studio.emulator.playout import Played, Playout
from callbot.studio.emulator.signature import HEADER, upgrade_signature
from callbot.studio.emulator.stream_messages import CONNECTED, Media, StreamIds, TwilioVoice, parse
from callbot.studio.emulator.stream_messages import Mark as MarkMessage

HANDSHAKE_S = 10.0
CLOSING_S = 2.0
OUTBOX_MESSAGES = 250
"""Five seconds of audio that our side has not read: from there on Twilio drops the caller's audio (31930)."""
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How the socket ended."""

    abrupt: bool
    """Without a close frame: a process died, or the protocol was broken."""
    close_code: int | None
    by_caller: bool = False


def check_stream_url(url: str) -> None:
    """Raises Rejected. `ws` is accepted for loopback alone."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Rejected(Code.STREAM_URL, f"malformed stream url {url:.100}") from None
    if parts.scheme != "wss" and not (parts.scheme == "ws" and is_loopback(host)):
        raise Rejected(Code.STREAM_SCHEME, f"stream url {url:.100}: scheme {parts.scheme!r} is not wss")
    if not host:
        raise Rejected(Code.STREAM_URL, f"stream url {url:.100} names no host")
    if parts.query:
        raise Rejected(Code.STREAM_HANDSHAKE, "stream url has a query string; use <Parameter>")


class MediaStream:
    """Made by `open_stream`. The line calls `send_audio` and `play` once for each 20 ms."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        ids: StreamIds,
        clock: Clock,
        complaints: Complaints,
        on_clear: Callable[[Cut], None],
    ) -> None:
        self.sid = ids.stream_sid
        self.dropped_frames = 0
        self.ended: asyncio.Future[StreamEnd] = asyncio.get_running_loop().create_future()
        self._socket = socket
        self._twilio = TwilioVoice(ids)
        self._clock = clock
        self._opened_ms = clock.now_ms()
        self._complaints = complaints
        self._on_clear = on_clear
        self._playout = Playout()
        self._outbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, stream: twiml.Stream) -> None:
        self._outbox.put_nowait(CONNECTED)
        self._outbox.put_nowait(self._twilio.start(stream.parameters))
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]

    def send_audio(self, audio: bytes, at_ms: float) -> None:
        """The caller's next 20 ms, dropped when our side has not read for too long."""
        if self._outbox.qsize() >= OUTBOX_MESSAGES:
            if not self.dropped_frames:
                self._complain(
                    Code.READING_TOO_SLOWLY, "the server does not read: the caller's audio is dropped"
                )
            self.dropped_frames += 1
            return
        self._outbox.put_nowait(self._twilio.media(audio, max(0, int(at_ms - self._opened_ms))))

    def press(self, digit: str) -> None:
        self._outbox.put_nowait(self._twilio.dtmf(digit))

    def play(self, at_ms: float) -> Played:
        """What the caller hears in the 20 ms that begin at `at_ms`; marks that are due go out."""
        played = self._playout.next_frame(at_ms)
        self._echo(played.echoed)
        return played

    def stop(self) -> None:
        """The call is over: `stop` is the last message. `close` comes next."""
        if not self.ended.done():
            self.ended.set_result(StreamEnd(abrupt=False, close_code=None, by_caller=True))
            self._outbox.put_nowait(self._twilio.stop())

    async def close(self) -> None:
        """Sends what is left, then ends the socket, whatever the other side does."""
        writer, reader = self._tasks
        self._outbox.put_nowait(None)
        await asyncio.wait([writer], timeout=CLOSING_S)
        writer.cancel()
        reader.cancel()
        await asyncio.wait([writer, reader])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self._socket.close()

    async def _write(self) -> None:
        """The only writer, so that a server that does not read holds up nobody but itself."""
        while (message := await self._outbox.get()) is not None:
            try:
                await self._socket.send_str(message)
            except (ConnectionError, aiohttp.ClientError):
                return  # the reader learns how the socket ended

    async def _read(self) -> None:
        try:
            while True:
                message = await self._socket.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._on_text(message.data)
                elif message.type is aiohttp.WSMsgType.BINARY:
                    self._complain(Code.STREAM_BINARY, f"binary frame of {len(message.data)} bytes")
                else:
                    return self._on_end(message)
        except Exception as error:
            # Whoever waits for the end of the stream gets it: it is a defect of the emulator.
            if not self.ended.done():
                self.ended.set_exception(error)

    def _on_text(self, text: str) -> None:
        try:
            message = parse(text, self.sid)
        except Rejected as rejected:
            self._complaints.add(rejected.complaint)
            return
        now_ms = self._clock.now_ms()
        if isinstance(message, Media):
            self._playout.append(message.audio, now_ms)
        elif isinstance(message, MarkMessage):
            self._echo(self._playout.mark(message.name, now_ms))
        else:
            self._echo(self._playout.clear(now_ms))
            self._on_clear(self._playout.cuts[-1])

    def _on_end(self, message: aiohttp.WSMessage) -> None:
        if self.ended.done():
            return
        if message.type is aiohttp.WSMsgType.CLOSE:
            on_purpose = message.data in (1000, 1001)
            text = f"the server closed the stream ({message.data})"
            self._complaints.add(Complaint(Code.STREAM_CLOSED, text, is_fault=not on_purpose))
            self.ended.set_result(StreamEnd(abrupt=False, close_code=message.data))
            return
        if isinstance(message.data, aiohttp.WebSocketError):
            self._complain(Code.STREAM_PROTOCOL, f"WebSocket protocol error: {message.data}")
        else:
            self._complain(Code.STREAM_BROKEN, "the server broke the connection without a close frame")
        self.ended.set_result(StreamEnd(abrupt=True, close_code=None))

    def _echo(self, marks: tuple[str, ...]) -> None:
        for name in marks:
            self._outbox.put_nowait(self._twilio.mark(name))

    def _complain(self, code: Code, text: str) -> None:
        self._complaints.add(Complaint(code, text))


async def open_stream(
    http: aiohttp.ClientSession,
    auth_token: str | None,
    stream: twiml.Stream,
    ids: StreamIds,
    clock: Clock,
    complaints: Complaints,
    on_clear: Callable[[Cut], None],
) -> MediaStream:
    """The signed upgrade, `connected` and `start`. Raises Rejected: there is no stream then."""
    check_stream_url(stream.url)
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            socket = await http.ws_connect(
                URL(stream.url, encoded=True),
                headers={HEADER.lower(): upgrade_signature(auth_token, stream.url)} if auth_token else None,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSING_S),
                max_msg_size=MAX_MESSAGE_BYTES,
            )
    except TimeoutError:
        raise Rejected(Code.STREAM_TIMED_OUT, f"{stream.url:.100} did not answer the upgrade") from None
    except aiohttp.WSServerHandshakeError as error:
        raise Rejected(Code.STREAM_HANDSHAKE, f"the upgrade was answered with {error.status}") from None
    except aiohttp.ClientSSLError as error:
        raise Rejected(Code.STREAM_TLS, f"TLS: {error}") from None
    except (aiohttp.InvalidURL, ValueError):
        raise Rejected(Code.STREAM_URL, f"malformed stream url {stream.url:.100}") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Rejected(Code.STREAM_REFUSED, f"the stream could not connect: {error}") from None
    opened = MediaStream(socket, ids, clock, complaints, on_clear)
    opened.begin(stream)
    return opened
