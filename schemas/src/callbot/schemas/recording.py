"""A recorded call: pieces of its two tracks on their way to the store, and parts of it on their way out.

Both tracks are raw G.711 mu-law at 8,000 bytes a second and share one clock: the caller's frames. Binary with
a small header each, big-endian. What was never recorded, or was lost on the way, is silence of its length.
"""

import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from callbot.schemas.audio import BYTES_PER_MS, MalformedAudio
from callbot.schemas.calls import CallRef
from callbot.schemas.message import CALL_ID_PATTERN

VERSION = 1
CHANNELS = 2
PIECE_MS = 5000
LONGEST_PIECE_MS = 10_000
LONGEST_PART_MS = 10_000
LONGEST_RECORDING_MS = 24 * 3600 * 1000
"""No call lasts so long: a position beyond it is a mistake."""


class Track(IntEnum):
    CALLER = 0
    BOT = 1


@dataclass(frozen=True, slots=True)
class RecordingPiece:
    """Some seconds of one track of a call.

    Header, 46 bytes: version u8, track u8 (0 caller, 1 bot), generation u16, position in the stream u32 and
    where the stream begins in the call u32, both in milliseconds, the call's id (34 ASCII bytes).
    """

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BBHII34s")

    call_id: str
    generation: int
    """Of the stream (`CallBrief.generation`): a call that is entered again has another one."""
    track: Track
    at_ms: int
    stream_at_ms: int
    """As far as the gateway knows; a stream never begins before the end of the one before."""
    payload: bytes

    @property
    def message_id(self) -> str:
        """The same whenever this piece is sent again."""
        return f"{self.call_id}.{self.generation}.{self.track.value}.{self.at_ms}"

    @property
    def length_ms(self) -> int:
        return -(-len(self.payload) // BYTES_PER_MS)

    def encode(self) -> bytes:
        header = (VERSION, self.track, self.generation, self.at_ms, self.stream_at_ms, self.call_id.encode())
        return self.LAYOUT.pack(*header) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises MalformedAudio."""
        _, track, generation, at_ms, stream_at_ms, name = _unpacked(cls.LAYOUT, data)
        call_id = name.decode("ascii", "replace")
        payload = data[cls.LAYOUT.size :]
        if track not in (Track.CALLER, Track.BOT) or not re.fullmatch(CALL_ID_PATTERN, call_id):
            raise MalformedAudio("neither a track nor a call that there could be")
        if max(at_ms, stream_at_ms) > LONGEST_RECORDING_MS or len(payload) > LONGEST_PIECE_MS * BYTES_PER_MS:
            raise MalformedAudio("longer than anything that is recorded")
        return cls(call_id, generation, Track(track), at_ms, stream_at_ms, payload)


class CallRecordingPart(CallRef):
    """Refused with `call_not_found`, `call_live`, `no_recording`, `unavailable` (not stored yet)."""

    from_ms: Annotated[int, Field(ge=0, le=LONGEST_RECORDING_MS)] = 0


@dataclass(frozen=True, slots=True)
class RecordingPart:
    """What lies from a position on, both tracks interleaved, byte by byte: caller, bot, caller, bot.

    Header, 8 bytes: version u8, three bytes unused, length of the whole recording u32 in milliseconds. No
    payload: the position is its end.
    """

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BxxxI")

    total_ms: int
    payload: bytes

    def encode(self) -> bytes:
        return self.LAYOUT.pack(VERSION, self.total_ms) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises MalformedAudio."""
        _, total_ms = _unpacked(cls.LAYOUT, data)
        return cls(total_ms, data[cls.LAYOUT.size :])


def _unpacked(layout: struct.Struct, data: bytes) -> tuple[Any, ...]:
    if len(data) < layout.size:
        raise MalformedAudio(f"{len(data)} bytes, the header alone has {layout.size}")
    found = layout.unpack_from(data)
    if found[0] != VERSION:
        raise MalformedAudio(f"version {found[0]}, this reader knows {VERSION}")
    return found
