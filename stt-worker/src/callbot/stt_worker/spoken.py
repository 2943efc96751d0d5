"""What is known of an utterance while it is being said."""

import asyncio
from dataclasses import dataclass

from callbot.schemas.audio import FRAME_MS
from callbot.schemas.speech import SpeechVerdict
from callbot.stt_worker.end_of_turn import WentQuiet
from callbot.stt_worker.turn_reports import Decoded
from callbot.stt_worker.words import Completeness


@dataclass(frozen=True, slots=True, eq=False)
class Weighing:
    """A silence, while it is found out what it means."""

    quiet: WentQuiet
    begun_s: float
    task: asyncio.Task[None]
    stayed: asyncio.Event
    """The silence is no part of a word."""


@dataclass(slots=True, eq=False)
class Spoken:
    """One utterance, from its first voice to the end of its turn."""

    from_ms: int
    next_interim_ms: int
    verdict: SpeechVerdict | None = None
    eager: bool = False
    waited_for: str = "silence"
    decoding: asyncio.Task[Decoded] | None = None
    """Of all that was said before the silence that goes on."""
    weighing: Weighing | None = None
    weighed: tuple[Completeness, float | None] | None = None
    """What words and prosody say of the silence that goes on, until the recogniser has its say too."""
    told_so_far: str = ""
    over: bool = False

    @property
    def from_seq(self) -> int:
        return self.from_ms // FRAME_MS
