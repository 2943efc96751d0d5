"""A WAV file, whole or as it arrives, to its samples: chunk by chunk (Microsoft and IBM 1991; RFC 2361).

The header has no fixed length: mu-law files have a longer `fmt ` and a `fact` chunk, and anything else may
stand before `data`.
"""

import struct
from dataclasses import dataclass
from typing import Final

PCM: Final = 1
MULAW: Final = 7
_EXTENSIBLE: Final = 0xFFFE
_RIFF_BYTES: Final = 12
_CHUNK_BYTES: Final = 8
_FORMAT_BYTES: Final = 16
_MAX_HEADER_BYTES: Final = 65536
_UNKNOWN: Final = (0, 0xFFFFFFFF)


class MalformedRiff(ValueError):
    """Says what is wrong; never a part of the file."""


@dataclass(frozen=True, slots=True)
class Format:
    tag: int
    """WAVE_FORMAT_*: 1 is PCM, 7 is mu-law."""
    channels: int
    rate_hz: int
    bits: int

    @property
    def is_telephone(self) -> bool:
        """Mu-law, 8,000 samples a second, one channel: what we speak."""
        return self == Format(MULAW, 1, 8000, 8)


class RiffReader:
    """Fed with a file in pieces cut anywhere; gives what `data` holds.

    A `data` chunk that claims no length (0 or 2**32-1, as streaming writers do) lasts to the end of the file.
    """

    def __init__(self) -> None:
        self.format: Format | None = None
        """Known before the first sample is given."""
        self._header = b""
        self._left: int | None = None
        """Bytes of `data` still to come, -1 when it lasts to the end; None before it."""

    def feed(self, piece: bytes) -> bytes:
        """Samples, as the file has them; empty while there are none. Raises MalformedRiff."""
        if self._left is None:
            self._header += piece
            piece = self._read_header()
        if self._left is None or self._left < 0:
            return piece
        samples = piece[: self._left]
        self._left -= len(samples)
        return samples

    def end(self) -> None:
        """No more is coming. Raises MalformedRiff when something is missing."""
        if self._left is None:
            raise MalformedRiff("ends before its samples")
        if self._left > 0:
            raise MalformedRiff("ends within its samples")

    def _read_header(self) -> bytes:
        """What follows the header of `data`; empty and no state changed while that has not arrived."""
        header = self._header
        riff, kind = header[:4], header[8:_RIFF_BYTES]
        if not b"RIFF".startswith(riff) or not b"WAVE".startswith(kind):
            raise MalformedRiff("is no RIFF file of kind WAVE")
        at = _RIFF_BYTES
        while len(header) >= at + _CHUNK_BYTES:
            name, size = struct.unpack_from("<4sI", header, at)
            at += _CHUNK_BYTES
            if name == b"data":
                if self.format is None:
                    raise MalformedRiff("has samples without a format")
                self._left = -1 if size in _UNKNOWN else size
                self._header = b""
                return header[at:]
            if at + size > _MAX_HEADER_BYTES:
                raise MalformedRiff("has too long a header")
            if name == b"fmt " and len(header) >= at + size:
                self.format = _format(header[at : at + size])
            # Chunks begin at even places.
            at += size + size % 2
        return b""


def samples_of(file: bytes) -> tuple[Format, bytes]:
    """The format and the samples of a whole file. Raises MalformedRiff."""
    reader = RiffReader()
    samples = reader.feed(file)
    reader.end()
    assert reader.format is not None
    return reader.format, samples


def _format(chunk: bytes) -> Format:
    if len(chunk) < _FORMAT_BYTES:
        raise MalformedRiff("has too short a format")
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        # The true tag begins the GUID of the extension.
        (tag,) = struct.unpack_from("<H", chunk, 24)
    return Format(tag, channels, rate_hz, bits)
