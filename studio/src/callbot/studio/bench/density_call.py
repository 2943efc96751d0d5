"""One call as cheap as it can be: frames in and out of a bare WebSocket, the play-out buffer as one number.

It does on the wire what the emulator's `MediaStream` does (RFC 6455; Twilio's messages), so that
hundreds of calls fit into one process beside what is measured. Its masking key is zero,
which leaves payloads as they are.
"""

import asyncio
import base64
import json
import secrets
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urlsplit

from callbot.schemas.audio import BYTES_PER_MS, FRAME_BYTES, FRAME_MS
from callbot.studio.bench.density_score import Times
from callbot.studio.emulator.stream_messages import CONNECTED, StreamIds, TwilioVoice

OPEN_WITHIN_S: Final = 10.0
READ_TOGETHER_S: Final = 0.1
_LONG: Final = struct.Struct(">BBH4x")
_SHORT: Final = struct.Struct(">BB4x")
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_FINAL = 0x80
_MEDIA = b'{"event":"media"'
_MEDIA_END = b'"}}'


@dataclass
class Seen:
    """What the calls of one process see while something is measured."""

    sent_late_ms: Times = field(default_factory=Times)
    """Each frame: how much later it was sent than its 20 ms clock says. The generator's own fault."""
    caller_ms: Times = field(default_factory=Times)
    """Frames of the watched calls: written to the socket → read from the bus as the ears read it."""
    bot_ms: Times = field(default_factory=Times)
    """Each 20 ms of the bot's: how long the play-out buffer had been dry inside a sentence when it came."""
    first_ms: Times = field(default_factory=Times)
    """First audio of a sentence in the watched calls: read from the bus → read from the caller's socket."""
    lost: int = 0

    def written(self) -> dict[str, Any]:
        times = {name: value.written() for name, value in vars(self).items() if isinstance(value, Times)}
        return {**times, "lost": self.lost}


def text_frame(text: str) -> bytes:
    """A client's text message as it stands on the wire; at most 64 KiB."""
    payload = text.encode()
    head = (
        _SHORT.pack(_FINAL | _TEXT, 0x80 | len(payload))
        if len(payload) < 126
        else _LONG.pack(_FINAL | _TEXT, 0x80 | 126, len(payload))
    )
    return head + payload


class FrameReader:
    """Bytes of a server's stream in, whole messages out."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(opcode, payload) of each frame that is complete now."""
        buffer = self._buffer + data if self._buffer else data
        found, at, size = [], 0, len(buffer)
        while size - at >= 2:
            length, begin = buffer[at + 1] & 0x7F, at + 2
            if length == 126:
                begin += 2
                if size < begin:
                    break
                length = int.from_bytes(buffer[at + 2 : begin], "big")
            elif length == 127:
                begin += 8
                if size < begin:
                    break
                length = int.from_bytes(buffer[at + 2 : begin], "big")
            if size < begin + length:
                break
            found.append((buffer[at] & 0x0F, buffer[begin : begin + length]))
            at = begin + length
        self._buffer = buffer[at:]
        return found


class PlayoutClock:
    """When the caller's ear runs dry, from the arrival of the bot's audio alone."""

    def __init__(self) -> None:
        self._ends_s = 0.0
        self.in_sentence = False

    def media(self, size: int, now_s: float) -> float:
        """So many bytes have come. For how many ms nothing had sounded inside a sentence."""
        dry_s = max(0.0, now_s - self._ends_s) if self.in_sentence else 0.0
        self.in_sentence = True
        self._ends_s = max(self._ends_s, now_s) + size / (BYTES_PER_MS * 1000)
        return dry_s * 1000

    def mark(self) -> float:
        """When it has to be echoed."""
        self.in_sentence = False
        return self._ends_s

    def clear(self, now_s: float) -> None:
        self.in_sentence = False
        self._ends_s = now_s


class DensityCall(asyncio.Protocol):
    """`send` is called once for each 20 ms."""

    def __init__(self, ids: StreamIds, pattern: list[str], begin: int, seen: Seen) -> None:
        """`pattern`: the frames of the caller in base64, repeated for ever, from number `begin` on."""
        self.call_sid = ids.call_sid
        self.over = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent_at_s: list[float] | None = None
        """Of each frame, in a watched call."""
        self.heard: set[int] = set()
        """Numbers of the frames that the bus has carried, in a watched call."""
        self._published_s: float | None = None
        """When the bus carried the beginning of a sentence of which nothing has come yet."""
        self._began_s = 0.0
        """When the last sentence began to come."""
        self.seen = seen
        self._sid = ids.stream_sid
        self._voice = TwilioVoice(ids)
        self._pattern, self._begin, self._frames = pattern, begin, 0
        self._reader = FrameReader()
        self._playout = PlayoutClock()
        self._marks: list[tuple[float, str]] = []
        self._media_size = len(f'{{"event":"media","streamSid":"{self._sid}","media":{{"payload":"') + 3
        self._head = b""
        self._transport: asyncio.Transport | None = None

    @property
    def frames_sent(self) -> int:
        return self._frames

    async def open(self, url: str, parameters: Mapping[str, str]) -> None:
        """The upgrade, `connected`, `start`. Raises OSError, TimeoutError."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(OPEN_WITHIN_S):
            await loop.create_connection(lambda: self, parts.hostname or "", parts.port or 80)
            key = base64.b64encode(secrets.token_bytes(16)).decode()
            headers = f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            self._write(
                f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\n"
                f"{headers}\r\n".encode()
            )
            await self.opened
        self._write(text_frame(CONNECTED) + text_frame(self._voice.start(parameters)))

    def send(self, due_s: float) -> None:
        """The next frame of the caller, and the marks that have been played."""
        number = self._frames
        payload = self._pattern[(self._begin + number) % len(self._pattern)]
        body = (
            f'{{"event":"media","sequenceNumber":"{number + 2}","media":{{"track":"inbound","chunk":"'
            f'{number + 1}","timestamp":"{number * FRAME_MS}","payload":"{payload}"}},'
            f'"streamSid":"{self._sid}"}}'
        ).encode()
        now_s = time.monotonic()
        if self.sent_at_s is not None:
            self.sent_at_s.append(now_s)
        self._frames = number + 1
        self._write(_LONG.pack(_FINAL | _TEXT, 0x80 | 126, len(body)) + body)
        self.seen.sent_late_ms.add((now_s - due_s) * 1000)
        while self._marks and self._marks[0][0] <= now_s:
            self._write(text_frame(self._voice.mark(self._marks.pop(0)[1])))

    def hang_up(self) -> None:
        if not self.over and self._transport is not None:
            self.over = True
            self._write(text_frame(self._voice.stop()))
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("the stream was refused"))

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.opened.set_exception(ConnectionError("the upgrade was refused"))
                return
            self.opened.set_result(None)
        for opcode, payload in self._reader.feed(data):
            if opcode == _TEXT:
                self._take(payload)
            elif opcode == _PING:
                self._write(_SHORT.pack(_FINAL | _PONG, 0x80 | len(payload)) + payload)
            elif opcode == _CLOSE:
                self.over = True

    def _take(self, message: bytes) -> None:
        now_s = time.monotonic()
        if message.startswith(_MEDIA):
            size = (len(message) - self._media_size) * 3 // 4
            size -= message.count(b"=", len(message) - len(_MEDIA_END) - 2)
            if not self._playout.in_sentence:
                self._begins(now_s)
            late_ms = self._playout.media(size, now_s)
            self.seen.bot_ms.add(late_ms, size // FRAME_BYTES)
            return
        told = json.loads(message)
        if told["event"] == "mark":
            self._marks.append((self._playout.mark(), told["mark"]["name"]))
        elif told["event"] == "clear":
            self._playout.clear(now_s)
            self._published_s = None
            self._marks = [(now_s, name) for _, name in self._marks]

    def published(self) -> None:
        """The bus has carried the beginning of a sentence; of the two sockets either may be read first."""
        now_s = time.monotonic()
        if now_s - self._began_s < READ_TOGETHER_S:
            self.seen.first_ms.add(0.0)
        else:
            self._published_s = now_s

    def _begins(self, now_s: float) -> None:
        if self._published_s is not None:
            self.seen.first_ms.add((now_s - self._published_s) * 1000)
            self._published_s = None
        else:
            self._began_s = now_s

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
