"""The last 40 s of a call, by position in its stream."""

from typing import Final

from callbot.schemas.audio import BYTES_PER_MS

KEPT_MS: Final = 40_000
"""A replay is 30 s at most, and comes faster than it is judged."""


class AudioRing:
    def __init__(self, from_ms: int) -> None:
        self._begin_ms = from_ms
        self._audio = bytearray()

    def append(self, audio: bytes) -> None:
        self._audio += audio
        excess_ms = len(self._audio) // BYTES_PER_MS - KEPT_MS
        # Cut by the second, not with every frame: deleting moves all that follows.
        if excess_ms >= 1000:
            del self._audio[: excess_ms * BYTES_PER_MS]
            self._begin_ms += excess_ms

    def between(self, from_ms: int, to_ms: int) -> bytes:
        first = max(0, from_ms - self._begin_ms) * BYTES_PER_MS
        return bytes(self._audio[first : max(0, to_ms - self._begin_ms) * BYTES_PER_MS])
