"""Twilio's media WebSocket: the call lives as long as it does."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import WSCloseCode, WSMsgType, web
from nats.errors import Error as NatsError
from pydantic import ValidationError

from callbot.gateway import media_messages as messages
from callbot.gateway.call_metrics import LINE_FULL, REFUSED
from callbot.gateway.calls import Calls
from callbot.gateway.errors import wrong
from callbot.gateway.keys import BUS, CALLS
from callbot.gateway.live_call import LiveCall
from callbot.gateway.media_messages import (
    Connected,
    Dtmf,
    Incoming,
    MalformedMedia,
    MarkEchoed,
    Media,
    Start,
    Stop,
    Unknown,
)
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError, Refused
from callbot.runtime.telemetry import about
from callbot.schemas.calls import AdmitStream, CallBrief, CallEnded, CallEvent, CallJournal
from callbot.schemas.message import CALL_ID_PATTERN, TOKEN_PATTERN
from callbot.schemas.subjects import CALL_ADMIT, CALL_EVENT

log = logging.getLogger(__name__)
START_WITHIN_S = 3.0
ADMIT_WITHIN_S = 2.0
MAX_MESSAGE_BYTES = 64 * 1024
MALFORMED_ALLOWED = 50
LONGEST_NAME = 64
"""Of what a stranger calls itself, in the log."""
ENDED = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})
OUTBOX_MESSAGES = 1000


class Rejected(Exception):
    """The stream cannot become a call; closed with this code (RFC 6455, section 7.4.1)."""

    def __init__(self, code: WSCloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class TwilioLine:
    """The outgoing half: one writer, so that nothing that decides ever waits for the socket."""

    def __init__(self, socket: web.WebSocketResponse, stream_sid: str) -> None:
        self._socket = socket
        self._stream_sid = stream_sid
        self._outbox: asyncio.Queue[str | None] = asyncio.Queue(OUTBOX_MESSAGES)

    def audio(self, payload: bytes) -> None:
        self._put(messages.media(self._stream_sid, payload))

    def mark(self, name: str) -> None:
        self._put(messages.mark(self._stream_sid, name))

    def clear(self) -> None:
        self._put(messages.clear(self._stream_sid))

    def hang_up(self) -> None:
        self._put(None)

    def _put(self, message: str | None) -> None:
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            LINE_FULL.inc()
            log.error("the line does not take what it is sent")

    async def write_for_ever(self) -> None:
        """Until the hang-up, or until the socket breaks."""
        while (message := await self._outbox.get()) is not None:
            try:
                await self._socket.send_str(message)
            except (ConnectionError, RuntimeError) as e:
                log.info("the socket is gone", extra={"reason": type(e).__name__})
                return
        await self._socket.close(code=WSCloseCode.OK)


async def media_stream(request: web.Request) -> web.WebSocketResponse:
    """`/voice/stream/{bot_id}` and its other names. Raises ApiError 400 without a handshake."""
    bot_id = request.match_info["bot_id"]
    # No pings: frames come every 20 ms, and the call's watchdog misses them.
    socket = web.WebSocketResponse(
        compress=False,
        decode_text=False,
        max_msg_size=MAX_MESSAGE_BYTES,
        writer_limit=16 * 1024,
        timeout=1.0,
    )
    if not socket.can_prepare(request).ok:
        raise wrong("Upgrade", "this is a WebSocket, and needs its handshake (RFC 6455)")
    calls = request.app[CALLS]
    # From before the handshake: a drain between the two must not miss it.
    with calls.opening(socket):
        await socket.prepare(request)
        opened = await _opened(socket, request.app[BUS], calls, bot_id)
        if opened is not None:
            with about(call_id=opened[1].call_id):
                await _hold(socket, *opened, calls)
    return socket


async def _opened(
    socket: web.WebSocketResponse, bus: Bus, calls: Calls, bot_id: str
) -> tuple[Start, CallBrief, tuple[CallJournal, int] | None] | None:
    """The stream's beginning, and what its call has left; None when it was closed instead."""
    start: Start | None = None
    try:
        start = await _start_of(socket)
        if not calls.has_room_for(start.call_id):
            raise Rejected(WSCloseCode.TRY_AGAIN_LATER, "no room")
        brief = await _admit(bus, bot_id, start)
        return start, brief, await _journal_of(calls, brief)
    except Rejected as e:
        REFUSED.of(f"stream_{e.code.name.lower()}").inc()
        call_id = start.call_id[:LONGEST_NAME] if start else None
        log.warning(
            "stream rejected", extra={"reason": e.reason, "bot_id": bot_id[:LONGEST_NAME], "call_id": call_id}
        )
        await socket.close(code=e.code, message=e.reason.encode()[:120])
        return None


async def _start_of(socket: web.WebSocketResponse) -> Start:
    """Raises Rejected when what comes is not a media stream, or nothing comes."""
    try:
        async with asyncio.timeout(START_WITHIN_S):
            while True:
                message = await socket.receive()
                if message.type is WSMsgType.BINARY:
                    raise Rejected(WSCloseCode.UNSUPPORTED_DATA, "binary message")
                if message.type is not WSMsgType.TEXT:
                    raise Rejected(WSCloseCode.OK, "closed before start")
                match messages.parse(message.data):
                    case Connected() | Unknown():
                        continue
                    case Start() as start:
                        return start
                    case _:
                        raise Rejected(WSCloseCode.POLICY_VIOLATION, "not begun with start")
    except TimeoutError as e:
        raise Rejected(WSCloseCode.POLICY_VIOLATION, f"no start within {START_WITHIN_S} s") from e
    except MalformedMedia as e:
        raise Rejected(WSCloseCode.INVALID_TEXT, str(e)) from e


async def _admit(bus: Bus, bot_id: str, start: Start) -> CallBrief:
    if start.encoding != "audio/x-mulaw" or start.sample_rate_hz != 8000:
        raise Rejected(WSCloseCode.UNSUPPORTED_DATA, "only audio/x-mulaw at 8000 Hz")
    if not re.fullmatch(CALL_ID_PATTERN, start.call_id) or not re.fullmatch(TOKEN_PATTERN, bot_id):
        raise Rejected(WSCloseCode.POLICY_VIOLATION, "not a call")
    question = AdmitStream(call_id=start.call_id, bot_id=bot_id, token=start.parameters.get("token", ""))
    try:
        return await bus.ask(CALL_ADMIT, question, timeout_s=ADMIT_WITHIN_S)
    except Refused as e:
        raise Rejected(WSCloseCode.POLICY_VIOLATION, e.code) from e
    except BusError as e:
        raise Rejected(WSCloseCode.TRY_AGAIN_LATER, "the platform does not answer") from e


async def _journal_of(calls: Calls, brief: CallBrief) -> tuple[CallJournal, int] | None:
    """What an earlier stream of this call has left; the first stream asks nobody."""
    if brief.generation == 1:
        return None
    try:
        return await calls.platform.journals.read(brief.call_id)
    except (BusError, NatsError, TimeoutError, ValidationError) as e:
        log.error("the call begins anew", extra={"call_id": brief.call_id, "reason": type(e).__name__})
        return None


async def _hold(
    socket: web.WebSocketResponse,
    start: Start,
    brief: CallBrief,
    journal: tuple[CallJournal, int] | None,
    calls: Calls,
) -> None:
    """The call, from its first frame to its last."""
    line = TwilioLine(socket, start.stream_sid)
    call = LiveCall(calls.platform, line, brief, journal)
    writer = asyncio.create_task(line.write_for_ever())
    try:
        await calls.add(call)
        calls.opened(socket)
        async with _closed_when_over(calls.platform.bus, socket, brief.call_id):
            await call.open()
            await _listen(socket, call)
    except BusError as e:
        log.error("the call cannot go on", extra={"call_id": brief.call_id, "reason": str(e)})
    finally:
        await call.abandon()
        calls.remove(call)
        await asyncio.wait([writer], timeout=1.0)
        writer.cancel()


@asynccontextmanager
async def _closed_when_over(bus: Bus, socket: web.WebSocketResponse, call_id: str) -> AsyncIterator[None]:
    """While the block runs, the stream ends when Twilio tells any gateway that the call is over.

    Its user's place for a live call is free then, and whoever can sign as Twilio might go on talking. Of the
    call's own end its own gateway knows when the line may go. Raises BusError.
    """
    over = asyncio.Event()

    def heard(event: CallEvent) -> None:
        if isinstance(event.fact, CallEnded) and event.fact.reason == "line_lost":
            over.set()

    async def close() -> None:
        await over.wait()
        await socket.close(code=WSCloseCode.OK)

    listening = await bus.hear(CALL_EVENT, heard, call_id=call_id)
    closing = asyncio.create_task(close())
    try:
        yield
    finally:
        closing.cancel()
        await listening.stop()


async def _listen(socket: web.WebSocketResponse, call: LiveCall) -> None:
    malformed = 0
    while True:
        received = await socket.receive()
        if received.type in ENDED:
            return
        try:
            if received.type is not WSMsgType.TEXT:
                raise MalformedMedia("binary")
            message = messages.parse(received.data)
            if type(message) is Media:
                call.hear(message.payload)
            elif await _take(call, message):
                return
        except MalformedMedia as e:
            malformed += 1
            log.warning("ignored", extra={"call_id": call.brief.call_id, "reason": str(e)})
            if malformed > MALFORMED_ALLOWED:
                await socket.close(code=WSCloseCode.INVALID_TEXT)
                return


async def _take(call: LiveCall, message: Incoming) -> bool:
    """True when the stream has ended."""
    match message:
        case MarkEchoed(name):
            call.mark_echoed(name)
        case Dtmf(digit):
            call.press(digit)
        case Stop():
            await call.end("caller_hung_up")
            return True
        case _:
            pass
    return False
