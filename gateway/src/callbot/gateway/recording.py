"""A recorded call: what the caller says and what they hear of the bot, in pieces for the store.

The clock of a recording is the caller's frames: frame n lies at n * 20 ms. What the bot is sent is placed by
the gateway's clock, as the play-out does it: it sounds when everything sent before has sounded, and what a
clear takes back never sounds. `_Origin` says where on the gateway's clock the frames began.

Nothing here waits for anything, but `CallRecording.run`, which sends what is finished.
"""

import asyncio
import logging
from collections import deque

from callbot.gateway.bot_speech import Line
from callbot.gateway.seating import Clock
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError
from callbot.schemas.audio import BYTES_PER_MS, SILENCE_BYTE
from callbot.schemas.calls import CallBrief
from callbot.schemas.recording import PIECE_MS, RecordingPiece, Track
from callbot.schemas.subjects import RECORDING_PIECE

log = logging.getLogger(__name__)
PIECE_BYTES = PIECE_MS * BYTES_PER_MS
WAITING_PIECES = 4
"""10 s of both tracks; with what is being gathered, about 15 s of a call are in memory."""
HELD_BYTES = 2 * PIECE_BYTES
"""Of the bot, while the caller's frames stand still."""
SENT_AT_ONCE = 4
"""By all calls of a gateway: pieces are large, and the live calls use the same link."""
STORE_WITHIN_S = 2.0
AGAIN_AFTER_S = 0.5
FINISH_WITHIN_S = 0.5
SAME_MS = 0.01
"""Sums of many lengths differ by less; a byte is 0.125 ms."""
SILENCE = bytes((SILENCE_BYTE,))


class PieceSender:
    """Into the stream, for all calls of a gateway."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._room = asyncio.Semaphore(SENT_AT_ONCE)

    async def send(self, piece: RecordingPiece) -> None:
        """Raises BusError: it is not stored, as far as anybody knows."""
        async with self._room:
            await self._bus.remember(
                RECORDING_PIECE,
                piece,
                message_id=piece.message_id,
                timeout_s=STORE_WITHIN_S,
                call_id=piece.call_id,
            )


class _Origin:
    """When the caller's first frame began, by the gateway's clock.

    A frame is sent when it is complete, and never arrives early: the frame that came soonest for its number
    tells best. Of the last piece and this one, because two clocks drift apart in an hour.
    """

    def __init__(self) -> None:
        self._this: float | None = None
        self._last: float | None = None

    def frames_until(self, position_ms: int, now_ms: float) -> None:
        """The frames before this position have come."""
        origin_ms = now_ms - position_ms
        self._this = origin_ms if self._this is None else min(self._this, origin_ms)

    @property
    def ms(self) -> float:
        return min(known for known in (self._this, self._last, float("inf")) if known is not None)

    def next_piece(self) -> None:
        self._this, self._last = None, self._this


class BotTrack:
    """What the caller hears of the bot, on their clock."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, bytes]] = deque()
        """When each piece of audio begins to sound, by the gateway's clock."""
        self._sounds_until_ms = 0.0
        self._cut_to = 0
        self._laid_until_ms = 0.0
        """Where on the gateway's clock the audio ends that was cut last."""
        self.held_bytes = 0

    def sent(self, payload: bytes, now_ms: float) -> None:
        starts_at_ms = max(self._sounds_until_ms, now_ms)
        self._sounds_until_ms = starts_at_ms + len(payload) / BYTES_PER_MS
        self._sent.append((starts_at_ms, payload))
        self.held_bytes += len(payload)
        while self.held_bytes > HELD_BYTES:
            self.held_bytes -= len(self._sent.popleft()[1])

    def cleared(self, now_ms: float) -> None:
        """What has not sounded by now never will."""
        while self._sent and self._sent[-1][0] + len(self._sent[-1][1]) / BYTES_PER_MS > now_ms:
            starts_at_ms, payload = self._sent.pop()
            heard = payload[: max(0, int((now_ms - starts_at_ms) * BYTES_PER_MS))]
            self.held_bytes -= len(payload) - len(heard)
            if heard:
                self._sent.append((starts_at_ms, heard))
                break
        self._sounds_until_ms = min(self._sounds_until_ms, now_ms)

    def cut(self, end: int, origin_ms: float) -> bytes:
        """The track up to this byte, from where it was cut before.

        By now this has sounded; what has not can still be cleared, and stays.
        """
        laid = bytearray()
        while self._sent:
            starts_at_ms, payload = self._sent[0]
            at = self._cut_to + len(laid)
            if starts_at_ms > self._laid_until_ms + SAME_MS:
                at = max(at, round((starts_at_ms - origin_ms) * BYTES_PER_MS))
            if at >= end:
                break
            self._sent.popleft()
            part = payload[: end - at]
            self._laid_until_ms = starts_at_ms + len(part) / BYTES_PER_MS
            laid += SILENCE * (at - self._cut_to - len(laid)) + part
            self.held_bytes -= len(part)
            if len(part) < len(payload):
                self._sent.appendleft((self._laid_until_ms, payload[len(part) :]))
        piece = bytes(laid).ljust(end - self._cut_to, SILENCE)
        self._cut_to = end
        return piece


class CallRecording:
    """One stream of one call."""

    def __init__(self, brief: CallBrief, stream_at_ms: float, sender: PieceSender, clock: Clock) -> None:
        """`stream_at_ms`: how long the call had lasted when this stream of it began."""
        self._brief = brief
        self._stream_at_ms = round(stream_at_ms)
        self._sender = sender
        self._clock = clock
        self._origin = _Origin()
        self._caller = bytearray()
        self._bot = BotTrack()
        self._from = 0
        """The byte at which the piece that is being gathered begins."""
        self._waiting: deque[RecordingPiece] = deque()
        self._added = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._over = self._lossy = False
        self._unheard_notice = brief.phrases.recorded or ""

    @property
    def awaits_notice(self) -> bool:
        return bool(self._unheard_notice)

    def bot_said(self, words: str) -> None:
        """And the caller has heard it."""
        if self.awaits_notice and self._unheard_notice in words:
            self._unheard_notice = ""

    def heard(self, audio: bytes) -> None:
        """Whole frames of the caller, as they come."""
        if self._over:
            return
        # Who has not been told is not recorded.
        self._caller += SILENCE * len(audio) if self.awaits_notice else audio
        self._origin.frames_until((self._from + len(self._caller)) // BYTES_PER_MS, self._clock())
        while len(self._caller) >= PIECE_BYTES:
            self._cut(PIECE_BYTES)
            self._origin.next_piece()

    def sent(self, payload: bytes) -> None:
        if not self._over:
            self._bot.sent(payload, self._clock())

    def cleared(self) -> None:
        self._bot.cleared(self._clock())

    async def finish(self) -> None:
        """The stream is over: what there is goes to the store, as far as there is time for it."""
        if self._over:
            return
        self._over = True
        self._bot.cleared(self._clock())
        if self.awaits_notice:
            log.warning("the notice was not heard: the caller is not on the recording", extra=self._about)
        if self._caller:
            self._cut(len(self._caller))
        try:
            await asyncio.wait_for(self._empty.wait(), FINISH_WITHIN_S)
        except TimeoutError:
            self._lost("the call ended", len(self._waiting))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._added.wait()
            self._added.clear()
            while self._waiting:
                await self._send(self._waiting[0])
            self._empty.set()

    @property
    def _about(self) -> dict[str, str]:
        return {"call_id": self._brief.call_id}

    @property
    def held_bytes(self) -> int:
        waiting = sum(len(piece.payload) for piece in self._waiting)
        return len(self._caller) + self._bot.held_bytes + waiting

    def _cut(self, size: int) -> None:
        caller = bytes(self._caller[:size])
        del self._caller[:size]
        bot = self._bot.cut(self._from + size, self._origin.ms)
        self._add(Track.CALLER, caller)
        if bot.strip(SILENCE):
            # What is missing is silence anyway; the caller's track says how long it lasts.
            self._add(Track.BOT, bot)
        self._from += size

    def _add(self, track: Track, payload: bytes) -> None:
        at_ms = self._from // BYTES_PER_MS
        brief = self._brief
        piece = RecordingPiece(brief.call_id, brief.generation, track, at_ms, self._stream_at_ms, payload)
        if len(self._waiting) >= WAITING_PIECES:
            # The oldest one: it has had its time.
            self._waiting.popleft()
            self._lost("not stored in time", 1)
        self._waiting.append(piece)
        self._empty.clear()
        self._added.set()

    async def _send(self, piece: RecordingPiece) -> None:
        try:
            await self._sender.send(piece)
        except BusError as e:
            log.debug("a piece waits", extra={"call_id": piece.call_id, "reason": str(e)})
            await asyncio.sleep(AGAIN_AFTER_S)
            return
        if self._waiting and self._waiting[0] is piece:
            self._waiting.popleft()

    def _lost(self, reason: str, pieces: int) -> None:
        """Said once: the first loss tells it all."""
        if not self._lossy:
            self._lossy = True
            log.error("the recording has a gap", extra={**self._about, "reason": reason, "pieces": pieces})


class RecordedLine:
    """The caller's line, with a recording that hears what it is sent."""

    def __init__(self, line: Line, recording: CallRecording) -> None:
        self._line = line
        self._recording = recording

    def audio(self, payload: bytes) -> None:
        self._recording.sent(payload)
        self._line.audio(payload)

    def mark(self, name: str) -> None:
        self._line.mark(name)

    def clear(self) -> None:
        self._recording.cleared()
        self._line.clear()

    def hang_up(self) -> None:
        self._line.hang_up()
