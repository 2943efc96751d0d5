"""The caller's ear: what of the bot was audible, when, and which texts a scripted voice spoke."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from callbot.schemas.audio import BYTES_PER_MS, FRAME_MS
from callbot.schemas.text_audio import MARKER, audible, texts_in
from callbot.studio.emulator.loudness import is_audible

T = TypeVar("T")

ONSET_GAP_MS = 200
"""Silence after which sound is a new beginning: longer than the stops inside words, shorter than a turn."""


@dataclass(slots=True)
class Segment:
    """Sound without a gap of `ONSET_GAP_MS`, in milliseconds of the line."""

    started_ms: int
    ended_ms: int
    arrived_ms: float
    """When the platform had sent the audio that the segment began with."""


@dataclass(frozen=True, slots=True)
class HeardText:
    """A text of a scripted voice, or of `<Say>`."""

    text: str
    at_ms: int


class Ear:
    """Fed by the line, frame by frame."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.texts: list[HeardText] = []
        self.is_over = False
        self.now_ms = 0
        """End of the last frame heard."""
        self._audio = bytearray()
        self._undecoded = bytearray()
        self._cleared = False
        self._looking: list[Callable[[], None]] = []

    def hear(self, at_ms: int, frame: bytes, arrived_ms: float | None) -> None:
        """The 20 ms from `at_ms` on."""
        self._audio += frame
        self.now_ms = at_ms + FRAME_MS
        if is_audible(frame):
            self._add_to_segment(at_ms, arrived_ms)
            self._decode(at_ms, frame)
        elif self.silent_ms >= ONSET_GAP_MS:
            self._undecoded.clear()
        self.look()

    def hear_text(self, text: str) -> None:
        """Twilio's own voice: `<Say>`."""
        self.texts.append(HeardText(text, self.now_ms))
        self.look()

    def cleared(self) -> None:
        """What follows is a new beginning, however short the gap."""
        self._cleared = True
        self._undecoded.clear()
        self.look()

    def over(self) -> None:
        """Nothing more will be heard; whoever waits learns it."""
        self.is_over = True
        self.look()

    @property
    def silent_ms(self) -> int:
        """How long the bot has been inaudible by now."""
        return self.now_ms - (self.segments[-1].ended_ms if self.segments else 0)

    def audio(self, started_ms: int, ended_ms: int) -> bytes:
        """Mu-law of that stretch of the line."""
        return bytes(self._audio[started_ms * BYTES_PER_MS : ended_ms * BYTES_PER_MS])

    async def until(self, condition: Callable[[], T | None], within_s: float) -> T | None:
        """What `condition` returns once it is not None, looked at after each frame. None in the end too:
        the time is over, or the call is."""
        found = condition()
        if found is not None or self.is_over:
            return found
        waiting: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()

        def look() -> None:
            found = condition()
            if not waiting.done() and (found is not None or self.is_over):
                waiting.set_result(found)

        self._looking.append(look)
        try:
            async with asyncio.timeout(within_s):
                return await waiting
        except TimeoutError:
            return None
        finally:
            self._looking.remove(look)

    def look(self) -> None:
        """Something has changed: wakes those whose condition holds."""
        for look in self._looking:
            look()

    def _add_to_segment(self, at_ms: int, arrived_ms: float | None) -> None:
        last = self.segments[-1] if self.segments else None
        if last is not None and not self._cleared and at_ms - last.ended_ms < ONSET_GAP_MS:
            last.ended_ms = at_ms + FRAME_MS
        else:
            arrived_ms = at_ms if arrived_ms is None else arrived_ms
            self.segments.append(Segment(at_ms, at_ms + FRAME_MS, arrived_ms))
        self._cleared = False

    def _decode(self, at_ms: int, frame: bytes) -> None:
        self._undecoded += frame
        if MARKER not in self._undecoded:
            del self._undecoded[: 1 - len(MARKER)]
            return
        for text in texts_in(bytes(self._undecoded)):
            self.texts.append(HeardText(text, at_ms))
            spoken = audible(text, ms_per_character=0)
            del self._undecoded[: self._undecoded.find(spoken) + len(spoken)]
