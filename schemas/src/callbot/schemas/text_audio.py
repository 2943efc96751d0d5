"""Text as audio that carries it exactly, for tests without models.

Four marker bytes, the length, the UTF-8 text and its CRC-32 as mu-law bytes, one for each half byte; then a
tone for as long as speaking would take. It survives G.711, not resampling, which our path never does.
"""

import zlib
from collections.abc import Iterator

from callbot.schemas.audio import BYTES_PER_MS

MARKER = bytes((0x00, 0x80, 0x01, 0x81))
_NIBBLE_BASE = 0x20
TONE = bytes((0x30, 0x30, 0x30, 0x30, 0xB0, 0xB0, 0xB0, 0xB0))
"""1 kHz, loud enough for an energy detector."""


def audible(text: str, ms_per_character: int = 40) -> bytes:
    """The text as mu-law, at least `ms_per_character` long for each character."""
    data = text.encode()
    framed = len(data).to_bytes(2, "big") + data + zlib.crc32(data).to_bytes(4, "big")
    packed = MARKER + bytes(_NIBBLE_BASE | half for byte in framed for half in (byte >> 4, byte & 15))
    missing = len(text) * ms_per_character * BYTES_PER_MS - len(packed)
    return packed + TONE * max(0, -(-missing // len(TONE)))


def texts_in(audio: bytes) -> Iterator[str]:
    """The texts that lie in this audio, in order. Damaged ones are passed over."""
    at = audio.find(MARKER)
    while at >= 0:
        text, end = _text_at(audio, at + len(MARKER))
        if text is not None:
            yield text
        at = audio.find(MARKER, end)


def _text_at(audio: bytes, start: int) -> tuple[str | None, int]:
    head = _unpack(audio[start : start + 4])
    if head is None:
        return None, start
    end = start + 2 * (2 + int.from_bytes(head, "big") + 4)
    framed = _unpack(audio[start:end])
    if framed is None or end > len(audio) or zlib.crc32(framed[2:-4]) != int.from_bytes(framed[-4:], "big"):
        return None, start
    return framed[2:-4].decode(errors="replace"), end


def _unpack(halves: bytes) -> bytes | None:
    if len(halves) % 2 or any(b & 0xF0 != _NIBBLE_BASE for b in halves):
        return None
    return bytes((a & 15) << 4 | b & 15 for a, b in zip(halves[::2], halves[1::2], strict=True))
