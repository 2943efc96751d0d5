"""Frames of many calls in, speech probabilities out: one model, one thread, one run for many calls."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import numpy as np

from callbot.schemas.audio import BYTES_PER_MS
from callbot.stt_worker import mulaw
from callbot.stt_worker.mulaw import FloatSamples

CHUNK_SAMPLES: Final = 256
CHUNK_MS: Final = CHUNK_SAMPLES // BYTES_PER_MS
GATHER_S: Final = 0.008
"""A chunk waits for those of other calls, at most so long: a run costs less for each when they share it."""
STALLED_AFTER_S: Final = 1.0
"""One run takes a millisecond."""
log = logging.getLogger(__name__)

OnJudged = Callable[[int, float, float], None]
"""End of the chunk in the stream, in ms; probability of speech; level in dBFS."""


class Judge(Protocol):
    """Judges one chunk for each of several calls. Used by one thread only."""

    def fresh(self) -> Any:
        """What it remembers of a call that has just begun."""

    def judge(self, chunks: FloatSamples, memories: Sequence[Any]) -> tuple[FloatSamples, Sequence[Any]]:
        """chunks (n, 256) → probabilities (n,), and what to remember of each call."""


class Ear:
    """One call's audio on its way through the detector."""

    def __init__(self, from_ms: int, memory: Any, wake: Callable[["Ear", list[bytes]], None]) -> None:
        self.pending: deque[bytes] = deque()
        self.memory = memory
        self.on_judged: OnJudged | None = None
        self._end_ms = from_ms
        self._rest = bytearray()
        self._wake = wake

    def hear(self, audio: bytes) -> None:
        """Mu-law of any length."""
        self._rest += audio
        whole = len(self._rest) // CHUNK_SAMPLES
        if whole:
            parts = [bytes(self._rest[i * CHUNK_SAMPLES : (i + 1) * CHUNK_SAMPLES]) for i in range(whole)]
            del self._rest[: whole * CHUNK_SAMPLES]
            self._wake(self, parts)

    def judged(self, probability: float, level_dbfs: float) -> None:
        self._end_ms += CHUNK_MS
        if self.on_judged is not None:
            self.on_judged(self._end_ms, probability, level_dbfs)


class VoiceActivity:
    """Hand it frames on the event loop; it judges them in its thread and calls back on the event loop."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Ear, None] = {}
        self._listening: set[Ear] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._busy_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="voice-activity", daemon=True)
        self._thread.start()

    @property
    def working(self) -> bool:
        """False: the thread has died or hangs, and nothing will be heard any more."""
        busy_since_s = self._busy_since_s
        stalled = busy_since_s is not None and time.monotonic() - busy_since_s > STALLED_AFTER_S
        return self._thread.is_alive() and not stalled

    def listen(self, on_judged: OnJudged, *, from_ms: int = 0) -> Ear:
        """A new call, whose audio begins at `from_ms` of its stream."""
        ear = Ear(from_ms, self._judge.fresh(), self._wait)
        ear.on_judged = on_judged
        self._listening.add(ear)
        return ear

    def forget(self, ear: Ear) -> None:
        """Nothing more is called back for this call."""
        ear.on_judged = None
        self._listening.discard(ear)
        with self._changed:
            self._waiting.pop(ear, None)
            ear.pending.clear()

    def stop(self, within_s: float = 2.0) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self.join(within_s)

    def join(self, within_s: float) -> None:
        """Waits, blocking, for the end of the thread."""
        self._thread.join(within_s)

    def _wait(self, ear: Ear, chunks: list[bytes]) -> None:
        with self._changed:
            ear.pending.extend(chunks)
            self._waiting[ear] = None
            if len(self._waiting) in (1, len(self._listening)):
                self._changed.notify()

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                while batch := self._next_batch():
                    self._judge_batch(batch)
        except RuntimeError as e:
            if not self._loop.is_closed():
                log.critical("voice activity detection has died", exc_info=e)
        except Exception:
            log.critical("voice activity detection has died", exc_info=True)

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            self._changed.wait_for(
                lambda: self._stopping or len(self._waiting) >= len(self._listening), GATHER_S
            )
            return not self._stopping

    def _next_batch(self) -> list[tuple[Ear, bytes]]:
        """One chunk of every call that has one: a long replay takes many runs and holds nobody up."""
        with self._changed:
            if self._stopping:
                return []
            batch = [(ear, ear.pending.popleft()) for ear in self._waiting]
            self._waiting = {ear: None for ear in self._waiting if ear.pending}
        return batch

    def _judge_batch(self, batch: list[tuple[Ear, bytes]]) -> None:
        self._busy_since_s = time.monotonic()
        chunks = mulaw.decode(b"".join(chunk for _, chunk in batch)).reshape(-1, CHUNK_SAMPLES)
        probabilities, memories = self._judge.judge(chunks, [ear.memory for ear, _ in batch])
        for (ear, _), memory in zip(batch, memories, strict=True):
            ear.memory = memory
        levels = levels_dbfs(chunks)
        ears = [ear for ear, _ in batch]
        verdicts = list(zip(ears, probabilities.tolist(), levels.tolist(), strict=True))
        self._busy_since_s = None
        self._loop.call_soon_threadsafe(_deliver, verdicts)


def levels_dbfs(chunks: FloatSamples) -> FloatSamples:
    """Root mean square of each row, (n, samples) → (n,); a full-scale square wave has 0 dBFS."""
    levels: FloatSamples = 10 * np.log10(np.mean(chunks**2, axis=1) + 1e-10)
    return levels


def _deliver(verdicts: list[tuple[Ear, float, float]]) -> None:
    for ear, probability, level_dbfs in verdicts:
        try:
            ear.judged(probability, level_dbfs)
        except Exception:
            log.exception("a verdict could not be handled")


@asynccontextmanager
async def voice_activity(judge: Judge) -> AsyncIterator[VoiceActivity]:
    detection = VoiceActivity(judge)
    try:
        yield detection
    finally:
        await asyncio.to_thread(detection.stop)


class EnergyJudge:
    """For scripted audio: a chunk is speech when it is louder than about -40 dBFS."""

    THRESHOLD: Final = 0.01

    def fresh(self) -> None:
        return None

    def judge(self, chunks: FloatSamples, memories: Sequence[None]) -> tuple[FloatSamples, Sequence[None]]:
        loudness = np.sqrt(np.mean(chunks**2, axis=1))
        return (loudness > self.THRESHOLD).astype(np.float32), memories
