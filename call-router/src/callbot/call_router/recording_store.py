"""Where recordings lie. `RecordingStore` is all that the rest knows; here it is the database.

Pieces are plain documents of collection `recordings`, each with some seconds of one track, as GridFS keeps
the chunks of a file: nothing is larger than a piece, and a piece that comes twice is kept once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database, Document
from callbot.schemas.recording import LONGEST_PIECE_MS, RecordingPiece, Track

ERASED_AT_ONCE_MS = 10 * 60 * 1000
"""Of one stream: some megabytes, so that no operation takes longer than it may."""
PLACE = ("generation", "at_ms", "stream_at_ms", "length_ms")


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


class RecordingStore(Protocol):
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    async def prepare(self) -> None:
        """May be called by several replicas at once, and again."""

    async def keep(self, piece: RecordingPiece, expires_at: datetime) -> None:
        """Once, however often the same piece comes."""

    async def streams(self, call_id: str) -> list[RecordedStream]:
        """In their order; none: nothing is recorded."""

    async def pieces(
        self, call_id: str, generation: int, from_ms: int, to_ms: int
    ) -> Sequence[RecordingPiece]:
        """Those of a stream that reach into this stretch of it."""

    async def erase(self, call_id: str) -> None:
        """Safe to repeat; what broke off goes on where it was."""


class DatabaseRecordings(RecordingStore):
    def __init__(self, database: Database) -> None:
        self._pieces = database.collection("recordings")

    async def prepare(self) -> None:
        keys = [("call_id", 1), ("generation", 1), ("at_ms", 1), ("track", 1)]
        await self._pieces.index(keys, unique=True)
        await self._pieces.index([("expires_at", 1)], expire_after_s=0)

    async def keep(self, piece: RecordingPiece, expires_at: datetime) -> None:
        document = {
            "call_id": piece.call_id,
            "generation": piece.generation,
            "track": piece.track.value,
            "at_ms": piece.at_ms,
            "stream_at_ms": piece.stream_at_ms,
            "length_ms": piece.length_ms,
            "data": piece.payload,
            "expires_at": expires_at,
            "schema_version": SCHEMA_VERSION,
        }
        try:
            await self._pieces.insert(document)
        except AlreadyThere:
            return

    async def streams(self, call_id: str) -> list[RecordedStream]:
        found: list[RecordedStream] = []
        after = -1
        while first := await self._first({"call_id": call_id, "generation": {"$gt": after}}, 1):
            after = int(first["generation"])
            last = await self._first({"call_id": call_id, "generation": after}, -1)
            if last is None:
                # Erased between the two looks.
                break
            begins_ms = max(int(first["stream_at_ms"]), found[-1].ends_ms if found else 0)
            found.append(RecordedStream(after, begins_ms, last["at_ms"] + last["length_ms"]))
        return found

    async def pieces(
        self, call_id: str, generation: int, from_ms: int, to_ms: int
    ) -> Sequence[RecordingPiece]:
        reach = {"$gt": from_ms - LONGEST_PIECE_MS, "$lt": to_ms}
        wanted = {"call_id": call_id, "generation": generation, "at_ms": reach}
        return [_piece(found) for found in await self._pieces.many(wanted)]

    async def erase(self, call_id: str) -> None:
        while last := await self._first({"call_id": call_id}, -1):
            tail = {"$gte": last["at_ms"] - ERASED_AT_ONCE_MS}
            await self._pieces.remove_all(
                {"call_id": call_id, "generation": last["generation"], "at_ms": tail}
            )

    async def _first(self, wanted: Document, order: int) -> Document | None:
        sort = [("generation", order), ("at_ms", order)]
        found = await self._pieces.many(wanted, sort=sort, limit=1, fields=PLACE)
        return found[0] if found else None


def _piece(found: Document) -> RecordingPiece:
    return RecordingPiece(
        call_id=found["call_id"],
        generation=found["generation"],
        track=Track(found["track"]),
        at_ms=found["at_ms"],
        stream_at_ms=found["stream_at_ms"],
        payload=bytes(found["data"]),
    )
