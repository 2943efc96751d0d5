"""What this worker can speak with: told again and again, as the bucket `voices` forgets it in a minute."""

import asyncio
import logging
import time
from types import TracebackType
from typing import Final, Self

from nats.errors import Error as NatsError

from callbot.runtime.bus import Bus
from callbot.runtime.errors import TimedOut
from callbot.schemas.memory import VOICES
from callbot.schemas.message import WorkerId
from callbot.schemas.voices import VoiceInfo, WorkerVoices, fitting
from callbot.tts_worker.chain_synthesizer import ChainSynthesizer

TELL_EVERY_S: Final = 20.0
LOOK_EVERY_S: Final = 1.0
TOLD_WITHIN_S: Final = 3.0
log = logging.getLogger(__name__)


class ToldVoices:
    """Use as an async context manager: it tells while the block runs."""

    def __init__(self, bus: Bus, synthesizer: ChainSynthesizer, worker_id: WorkerId) -> None:
        self._bus = bus
        self._synthesizer = synthesizer
        self._worker_id = worker_id
        self._telling: asyncio.Task[None] | None = None
        self.told = False
        """Has the bucket had them once? Later on the broker's memory may be away: calls go on without it."""

    async def __aenter__(self) -> Self:
        self._telling = asyncio.create_task(self._tell_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._telling is not None and not self._telling.done():
            # Again and again: Python 3.11's wait_for can lose a cancellation.
            self._telling.cancel()
            await asyncio.wait({self._telling}, timeout=0.2)

    async def _tell_for_ever(self) -> None:
        reason = ""
        told: list[VoiceInfo] = []
        told_at_s = 0.0
        while True:
            # A provider that cannot speak says nothing: what it said before is forgotten in time.
            voices = self._synthesizer.voices if self._synthesizer.ready else []
            if voices and (voices != told or time.monotonic() - told_at_s >= TELL_EVERY_S):
                try:
                    await self._tell(WorkerVoices(voices=_told(voices)))
                    self.told, reason, told, told_at_s = True, "", voices, time.monotonic()
                except (NatsError, TimedOut, TimeoutError) as e:
                    # The bucket is made by call-router, which may not have begun yet.
                    if reason != type(e).__name__:
                        reason = type(e).__name__
                        log.warning("voices are not told yet", extra={"reason": str(e) or reason})
            await asyncio.sleep(LOOK_EVERY_S)

    async def _tell(self, voices: WorkerVoices) -> None:
        async with asyncio.timeout(TOLD_WITHIN_S):
            bucket = await self._bus.bucket(VOICES)
            await bucket.put(self._worker_id, voices.encode())


def _told(voices: list[VoiceInfo]) -> list[VoiceInfo]:
    if len(told := fitting(voices)) < len(voices):
        log.warning("more voices than can be listed", extra={"voices": len(voices), "listed": len(told)})
    return told
