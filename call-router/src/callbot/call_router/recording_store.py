"""Where recordings lie. `RecordingStore` is all that the rest knows; here it is the database.

Pieces are plain documents of collection `recordings`, each with some seconds of one track, as GridFS keeps
the chunks of a file: nothing is larger than a piece, and a piece that comes twice is kept once.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database, Document
from callbot.schemas.recording import LONGEST_PIECE_MS, RecordingPiece, Track

ERASED_AT_ONCE_MS = 10 * 60 * 1000
"""Of one stream: some megabytes, so that no operation takes longer than it may."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordedStream:
    """What there is of one stream of a call."""

    generation: int
    begins_ms: int
    """In the recording: where it began in the call, but never before the end of the stream before."""
    length_ms: int

    @property
    def ends_ms(self) -> int:
        return self.begins_ms + self.length_ms


@dataclass(frozen=True)
class StoredPiece:
    """Of one stream."""

    track: Track
    at_ms: int
    payload: bytes


class RecordingStore(Protocol):
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    async def prepare(self) -> None:
        """May be called by several replicas at once, and again."""

    async def keep(self, piece: RecordingPiece, expires_at: datetime) -> None:
        """Once, however often the same piece comes."""

    async def streams(self, call_id: str) -> list[RecordedStream]:
        """In their order; none: nothing is recorded."""

    async def pieces(self, call_id: str, generation: int, from_ms: int, to_ms: int) -> Sequence[StoredPiece]:
        """Those of a stream that reach into this stretch of it."""

    async def erase(self, call_id: str) -> None:
        """Safe to repeat; what broke off goes on where it was."""


class DatabaseRecordings(RecordingStore):
    """Beside the pieces, collection `recording_streams` says how far each stream reaches."""

    def __init__(self, database: Database) -> None:
        self._pieces = database.collection("recordings")
        self._streams = database.collection("recording_streams")

    async def prepare(self) -> None:
        of_a_stream = [("call_id", 1), ("generation", 1)]
        await self._pieces.index([*of_a_stream, ("at_ms", 1), ("track", 1)], unique=True)
        await self._streams.index(of_a_stream, unique=True)
        for collection in (self._pieces, self._streams):
            await collection.index([("expires_at", 1)], expire_after_s=0)

    async def keep(self, piece: RecordingPiece, expires_at: datetime) -> None:
        of_a_stream: Document = {"call_id": piece.call_id, "generation": piece.generation}
        document = {
            **of_a_stream,
            "track": piece.track.value,
            "at_ms": piece.at_ms,
            "data": piece.payload,
            "expires_at": expires_at,
            "schema_version": SCHEMA_VERSION,
        }
        try:
            await self._pieces.insert(document)
        except AlreadyThere:
            log.debug("a piece came again", extra={"call_id": piece.call_id, "at_ms": piece.at_ms})
        reach: Document = {
            "$max": {"length_ms": piece.at_ms + piece.length_ms, "expires_at": expires_at},
            "$setOnInsert": {"stream_at_ms": piece.stream_at_ms, "schema_version": SCHEMA_VERSION},
        }
        try:
            await self._streams.update(of_a_stream, reach, upsert=True)
        except AlreadyThere:
            # Another replica has just made it.
            await self._streams.update(of_a_stream, {"$max": reach["$max"]})

    async def streams(self, call_id: str) -> list[RecordedStream]:
        found: list[RecordedStream] = []
        for stream in await self._streams.many({"call_id": call_id}, sort=[("generation", 1)]):
            begins_ms = max(int(stream["stream_at_ms"]), found[-1].ends_ms if found else 0)
            found.append(RecordedStream(stream["generation"], begins_ms, stream["length_ms"]))
        return found

    async def pieces(self, call_id: str, generation: int, from_ms: int, to_ms: int) -> Sequence[StoredPiece]:
        reach = {"$gt": from_ms - LONGEST_PIECE_MS, "$lt": to_ms}
        wanted = {"call_id": call_id, "generation": generation, "at_ms": reach}
        found = await self._pieces.many(wanted)
        return [StoredPiece(Track(one["track"]), one["at_ms"], bytes(one["data"])) for one in found]

    async def erase(self, call_id: str) -> None:
        for stream in await self.streams(call_id):
            wanted: Document = {"call_id": call_id, "generation": stream.generation}
            for from_ms in range(stream.length_ms, 0, -ERASED_AT_ONCE_MS):
                tail = {"$gte": from_ms - ERASED_AT_ONCE_MS}
                await self._pieces.remove_all({**wanted, "at_ms": tail})
        await self._pieces.remove_all({"call_id": call_id})
        await self._streams.remove_all({"call_id": call_id})
