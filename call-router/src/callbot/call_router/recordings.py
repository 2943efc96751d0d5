"""Recordings of calls: from the stream into their store, and out of it in parts."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from callbot.call_router.calls import Calls
from callbot.call_router.database import StoreRejected, StoreUnavailable
from callbot.call_router.instants import utc_now
from callbot.call_router.recording_store import RecordedStream, RecordingStore, StoredPiece
from callbot.call_router.records import again_or_never, unsubscribed
from callbot.call_router.stores import Stores
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.audio import BYTES_PER_MS, SILENCE_BYTE, MalformedAudio
from callbot.schemas.memory import RECORDINGS
from callbot.schemas.message import UserId
from callbot.schemas.recording import (
    CHANNELS,
    LONGEST_PART_MS,
    CallRecordingPart,
    RecordingPart,
    RecordingPiece,
)
from callbot.schemas.subjects import RECORDING_PIECE

CONSUMER = "recordings"
AT_ONCE = 8
WAIT_S = 5.0
ACK_WAIT_S = 60.0
"""All that are pulled at once, at the pace of a slow database."""
STORED_WITHIN_S = 5.0
REDELIVER_AFTER_S = 2.0
LOOK_WITHIN_S = 0.6
log = logging.getLogger(__name__)


class Recordings:
    """What the API gives of them."""

    def __init__(self, stores: Stores, calls: Calls, bus: Bus) -> None:
        self._store: RecordingStore = stores.recordings
        self._calls = calls
        self._bus = bus

    async def part(self, user_id: UserId, question: CallRecordingPart) -> RecordingPart:
        """Of a call that has ended. What the beginning has promised is kept for the rest."""
        call_id = question.call_id
        if question.from_ms == 0:
            await self._calls.require_over(user_id, call_id)
            await self._require_stored(call_id)
        else:
            await self._calls.require_own(user_id, call_id)
        streams = await self._store.streams(call_id)
        if not streams:
            raise Refused("no_recording", "The call was not recorded.")
        total_ms = streams[-1].ends_ms
        to_ms = min(total_ms, question.from_ms + LONGEST_PART_MS)
        return RecordingPart(total_ms, await self._both_tracks(call_id, streams, question.from_ms, to_ms))

    async def _require_stored(self, call_id: str) -> None:
        """The last pieces come a moment after the end; all, where the database was away. Raises Refused."""
        subject = RECORDING_PIECE.of(call_id=call_id)
        try:
            info = await self._bus.jetstream(LOOK_WITHIN_S).stream_info(
                RECORDINGS.name, subjects_filter=subject
            )
        except NatsError as e:
            raise Refused("unavailable", "The recording cannot be read. Please try again.") from e
        if info.state.subjects:
            raise Refused("unavailable", "The recording is not stored yet. Please try again.")

    async def _both_tracks(
        self, call_id: str, streams: list[RecordedStream], from_ms: int, to_ms: int
    ) -> bytes:
        size = max(0, to_ms - from_ms) * BYTES_PER_MS
        found = bytearray([SILENCE_BYTE]) * (size * CHANNELS)
        for stream in streams:
            if stream.begins_ms >= to_ms or stream.ends_ms <= from_ms:
                continue
            begins_ms = stream.begins_ms
            pieces = await self._store.pieces(
                call_id, stream.generation, from_ms - begins_ms, to_ms - begins_ms
            )
            for piece in pieces:
                _lay(found, piece, (begins_ms + piece.at_ms - from_ms) * BYTES_PER_MS)
        return bytes(found)


def _lay(found: bytearray, piece: StoredPiece, at: int) -> None:
    """The piece at this byte of its own track, as far as it reaches into what is wanted."""
    payload = piece.payload[max(0, -at) :]
    at = max(0, at)
    payload = payload[: max(0, len(found) // CHANNELS - at)]
    first = at * CHANNELS + piece.track
    found[first : first + len(payload) * CHANNELS : CHANNELS] = payload


async def keep_recordings(js: JetStreamContext, stores: Stores, days: int) -> None:
    """For ever. Raises NatsError when the consumer is lost with its server: begin again."""
    pulling = await js.pull_subscribe(
        RECORDING_PIECE.wildcard,
        durable=CONSUMER,
        stream=RECORDINGS.name,
        config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S),
    )
    keeper = PieceKeeper(stores, days)
    try:
        while True:
            try:
                for msg in await pulling.fetch(AT_ONCE, timeout=WAIT_S):
                    await keeper.take(msg)
            except TimeoutError:
                # Nothing came. Is that so, or is the consumer gone? Then this raises.
                await pulling.consumer_info()
    finally:
        await unsubscribed(pulling)


class PieceKeeper:
    def __init__(self, stores: Stores, days: int, now: Callable[[], datetime] = utc_now) -> None:
        self._stores = stores
        self._kept_for = timedelta(days=days)
        self._now = now

    async def take(self, msg: Msg) -> None:
        try:
            piece = RecordingPiece.decode(msg.data)
            async with asyncio.timeout(STORED_WITHIN_S):
                await self.keep(piece)
        except MalformedAudio:
            # A newer version's, maybe: during a deploy another replica can read it.
            await again_or_never(msg, "a piece of a recording that cannot be read")
        except StoreRejected as e:
            await again_or_never(msg, f"the database does not take it: {e}")
        except (StoreUnavailable, TimeoutError):
            await msg.nak(delay=REDELIVER_AFTER_S)
            await asyncio.sleep(REDELIVER_AFTER_S)
        else:
            await msg.ack()

    async def keep(self, piece: RecordingPiece) -> None:
        """Unless its call has been erased, before or meanwhile. Raises StoreUnavailable, StoreRejected."""
        erased, recordings = self._stores.erased_calls, self._stores.recordings
        if await erased.has(piece.call_id):
            return
        await recordings.keep(piece, self._now() + self._kept_for)
        if await erased.has(piece.call_id):
            await recordings.erase(piece.call_id)
