"""Audio on the bus: a small binary header, then raw G.711 mu-law at 8,000 bytes a second. Big-endian."""

import struct
from dataclasses import dataclass
from typing import ClassVar, Self

SAMPLE_RATE_HZ = 8000
BYTES_PER_MS = 8
FRAME_MS = 20
FRAME_BYTES = FRAME_MS * BYTES_PER_MS
SILENCE_BYTE = 0xFF
"""Mu-law's positive zero (ITU-T G.711, table 2a)."""

VERSION = 1
FLAG_REPLAY = 0x01
FLAG_END = 0x01
FLAG_PREPARED = 0x02


class MalformedAudio(ValueError):
    """The bytes are not an audio message of a version we know."""


@dataclass(frozen=True, slots=True)
class CallerAudio:
    """20 ms of the caller, or less in the last frame of a stream.

    Header, 12 bytes: version u8, flags u8, epoch u16, sequence number u32, milliseconds since the stream
    began u32.
    """

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BBHII")

    epoch: int
    seq: int
    at_ms: int
    payload: bytes
    replayed: bool = False
    """Sent again to a new holder of the ears' seat."""

    def encode(self) -> bytes:
        flags = FLAG_REPLAY if self.replayed else 0
        return self.LAYOUT.pack(VERSION, flags, self.epoch, self.seq, self.at_ms) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises MalformedAudio."""
        flags, (epoch, seq, at_ms) = _header(cls.LAYOUT, data)
        return cls(epoch, seq, at_ms, data[cls.LAYOUT.size :], bool(flags & FLAG_REPLAY))


@dataclass(frozen=True, slots=True)
class BotAudio:
    """Part of one sentence of the bot, as the provider yields it.

    Header, 20 bytes: version u8, flags u8, epoch u16, turn u32, sentence u32, byte offset within the
    sentence u32, total bytes u32 (0 until the end message, which has no payload).
    """

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BBHIIII")

    epoch: int
    turn: int
    sentence: int
    offset: int
    payload: bytes
    total: int | None = None
    """Set in the end message alone: how many bytes the sentence has."""
    prepared: bool = False
    """It was there before the sentence was asked for."""

    def encode(self) -> bytes:
        flags = (0 if self.total is None else FLAG_END) | (FLAG_PREPARED if self.prepared else 0)
        header = (VERSION, flags, self.epoch, self.turn, self.sentence, self.offset, self.total or 0)
        return self.LAYOUT.pack(*header) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises MalformedAudio."""
        flags, (epoch, turn, sentence, offset, total) = _header(cls.LAYOUT, data)
        whole = total if flags & FLAG_END else None
        prepared = bool(flags & FLAG_PREPARED)
        return cls(epoch, turn, sentence, offset, data[cls.LAYOUT.size :], whole, prepared)


def _header(layout: struct.Struct, data: bytes) -> tuple[int, tuple[int, ...]]:
    if len(data) < layout.size:
        raise MalformedAudio(f"{len(data)} bytes, the header alone has {layout.size}")
    version, flags, *rest = layout.unpack_from(data)
    if version != VERSION:
        raise MalformedAudio(f"version {version}, this reader knows {VERSION}")
    return flags, tuple(rest)
