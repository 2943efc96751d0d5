"""One call's mouth: sentences in, mu-law out, in order, a little ahead of what is being heard."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from callbot.runtime import tracing
from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import CallbotError, ProviderError, Silent
from callbot.runtime.lease import Lease
from callbot.runtime.telemetry import about
from callbot.schemas.audio import SAMPLE_RATE_HZ, BotAudio
from callbot.schemas.dialog import PrepareSentence, SaySentence, SentenceFailed, TurnCancelled
from callbot.schemas.message import Receipt
from callbot.schemas.subjects import (
    BOT_AUDIO,
    SAY_SENTENCE,
    SENTENCE_FAILED,
    SENTENCE_PREPARE,
    TURN_CANCELLED,
)
from callbot.schemas.usage import Used
from callbot.tts_worker.call_voice import CallVoice
from callbot.tts_worker.chain_synthesizer import ChainSynthesizer
from callbot.tts_worker.preparing import Prepared, Preparing, chunks_of
from callbot.tts_worker.synthesizer import Voice

log = logging.getLogger(__name__)

MAX_PAYLOAD_BYTES: Final = 4000
SENTENCES_AHEAD: Final = 2
AUDIO_AHEAD_S: Final = 60.0


class Ahead:
    """How far what has been sent is ahead of what can have been heard, were it played without a pause.

    It holds the mouth back, so that a long answer that is cut off has not cost its whole synthesis. The
    gateway plays later, never earlier: this estimate errs towards sending too soon.
    """

    def __init__(self) -> None:
        self._heard_until_s = 0.0
        self._sentence_ends_s: deque[float] = deque()

    def sent(self, audio_bytes: int) -> None:
        now_s = time.monotonic()
        self._heard_until_s = max(self._heard_until_s, now_s) + audio_bytes / SAMPLE_RATE_HZ

    def sentence_ended(self) -> None:
        self._sentence_ends_s.append(self._heard_until_s)

    def dropped(self) -> None:
        """Nothing that has been sent will be played."""
        self._heard_until_s = 0.0
        self._sentence_ends_s.clear()

    def audio_wait_s(self) -> float:
        """Before more audio may be sent."""
        return self._heard_until_s - AUDIO_AHEAD_S - time.monotonic()

    def sentence_wait_s(self) -> float:
        """Before the next sentence may be begun: one is heard while two wait."""
        now_s = time.monotonic()
        ends_s = self._sentence_ends_s
        while ends_s and ends_s[0] <= now_s:
            ends_s.popleft()
        return ends_s[-SENTENCES_AHEAD - 1] - now_s if len(ends_s) > SENTENCES_AHEAD else 0.0


@dataclass(frozen=True, slots=True)
class Sentence:
    """One that waits to be said."""

    asked: SaySentence
    text: str
    """Without the white space that nobody hears."""
    prepared: Prepared | None
    place: tracing.Place | None = None
    """In the trace of its turn."""

    def trace_first_audio(self, asked_ns: int) -> None:
        """From the beginning of its synthesis, which may be before it was asked for."""
        began_ns, audible_ns, used = asked_ns, time.time_ns(), False
        if (prepared := self.prepared) and prepared.audible_ns and not prepared.failed:
            began_ns, audible_ns, used = prepared.began_ns, prepared.audible_ns, True
        number = self.asked.sentence
        with tracing.at(self.place):
            tracing.record("tts_first_audio", began_ns, audible_ns, sentence=number, prepared=used)


class Mouth:
    """The mouth's seat of one call (`runtime.seat.SeatWork`)."""

    def __init__(self, lease: Lease, bus: Bus, synthesizer: ChainSynthesizer) -> None:
        self._lease = lease
        self._bus = bus
        wished = Voice.of_bot(lease.brief.voice, lease.brief.language)
        self._voice = CallVoice(synthesizer, wished, self._fell_back)
        self._preparing = Preparing(self._voice.speak)
        self._waiting: deque[Sentence] = deque()
        self._taken: set[tuple[int, int]] = set()
        self._arrived = asyncio.Event()
        self._cancelled_up_to = -1
        self._ahead = Ahead()
        self._turn_in_work = -1
        self._speaking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: list[Listening] = []

    async def open(self) -> None:
        call_id = self._lease.call_id
        self._listening = [
            await self._bus.hear(TURN_CANCELLED, self._on_cancelled, call_id=call_id),
            await self._bus.hear(SENTENCE_PREPARE, self._on_prepare, call_id=call_id),
            await self._bus.answer(SAY_SENTENCE, self._on_sentence, call_id=call_id),
        ]
        self._speaking = self._spawn(self._speak_for_ever())
        self._spawn(self._voice.warm())

    async def close(self) -> None:
        for listening in self._listening:
            await listening.stop()
        self._keep_only_after(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._preparing.close()
        self._say_how_useful_preparing_was()

    def used(self) -> list[Used]:
        return self._voice.used()

    def _on_prepare(self, sentence: PrepareSentence) -> None:
        if not self._lease.over:
            self._preparing.prepare(sentence.number, _spoken(sentence.text))

    async def _on_sentence(self, asked: SaySentence) -> Receipt:
        if not self._lease.admits(asked.epoch):
            # Another holder listens on the same subject: a refusal from us could be heard before its answer.
            raise Silent
        key = (asked.turn, asked.sentence)
        if asked.turn > self._cancelled_up_to and key not in self._taken:
            self._taken.add(key)
            text = _spoken(asked.text)
            prepared = self._preparing.claim(asked.turn, text)
            self._waiting.append(Sentence(asked, text, prepared, tracing.current()))
            self._arrived.set()
        return Receipt()

    def _on_cancelled(self, cancelled: TurnCancelled) -> None:
        if cancelled.number <= self._cancelled_up_to:
            return
        self._cancelled_up_to = cancelled.number
        self._preparing.cancel_up_to(cancelled.number)
        self._keep_only_after(cancelled.number)
        self._taken = {key for key in self._taken if key[0] > cancelled.number}
        if self._turn_in_work <= cancelled.number:
            self._ahead.dropped()
            if self._speaking is not None:
                self._speaking.cancel()
                self._speaking = self._spawn(self._speak_for_ever())

    def _keep_only_after(self, turn: int | None) -> None:
        """Of the sentences that wait; None: no sentence is kept."""
        waiting, self._waiting = self._waiting, deque()
        for sentence in waiting:
            if turn is not None and sentence.asked.turn > turn:
                self._waiting.append(sentence)
            elif sentence.prepared is not None:
                sentence.prepared.drop()

    async def _speak_for_ever(self) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            sentence = self._waiting.popleft()
            if sentence.asked.turn != self._turn_in_work:
                self._turn_in_work = sentence.asked.turn
                self._voice.next_answer()
            try:
                await _pause(self._ahead.sentence_wait_s())
                with about(turn_id=f"{self._lease.call_id}.{sentence.asked.turn}"):
                    total = await self._say(sentence)
                await self._send(sentence.asked, total, b"", total=total)
                self._ahead.sentence_ended()
            except Exception as e:
                # A provider is not ours to trust: whatever it raises costs this sentence, not the call.
                self._failed(sentence.asked, e)
            finally:
                if sentence.prepared is not None:
                    sentence.prepared.drop()

    def _fell_back(self, provider: str, reason: str, instead: str) -> None:
        self._spawn(self._lease.fell_back(provider, reason, instead=instead))

    async def _say(self, sentence: Sentence) -> int:
        """Sends the sentence's audio; returns how many bytes. Raises what the provider and the bus raise."""
        offset = 0
        if not sentence.text:
            return 0
        was_ready, asked_ns = sentence.prepared is not None and sentence.prepared.begun, time.time_ns()
        async with aclosing(chunks_of(sentence.text, sentence.prepared, self._voice.speak)) as chunks:
            async for chunk in chunks:
                if chunk and offset == 0 and sentence.place is not None:
                    sentence.trace_first_audio(asked_ns)
                for at in range(0, len(chunk), MAX_PAYLOAD_BYTES):
                    await _pause(self._ahead.audio_wait_s())
                    payload = chunk[at : at + MAX_PAYLOAD_BYTES]
                    await self._send(sentence.asked, offset, payload, prepared=was_ready and offset == 0)
                    self._ahead.sent(len(payload))
                    offset += len(payload)
        return offset

    async def _send(
        self,
        asked: SaySentence,
        offset: int,
        payload: bytes,
        *,
        total: int | None = None,
        prepared: bool = False,
    ) -> None:
        audio = BotAudio(asked.epoch, asked.turn, asked.sentence, offset, payload, total, prepared)
        await self._bus.tell(BOT_AUDIO, audio, call_id=self._lease.call_id)

    def _failed(self, asked: SaySentence, error: Exception) -> None:
        reason = error.code if isinstance(error, ProviderError) else type(error).__name__
        where = {"call_id": self._lease.call_id, "turn": asked.turn, "sentence": asked.sentence}
        expected = isinstance(error, CallbotError)
        log.warning(
            "a sentence could not be said",
            extra={**where, "reason": str(error) if expected else reason},
            exc_info=None if expected else error,
        )
        # Handed again it is tried again: the gateway knows that this attempt is over.
        self._taken.discard((asked.turn, asked.sentence))
        failed = SentenceFailed(epoch=asked.epoch, turn=asked.turn, sentence=asked.sentence, reason=reason)
        self._spawn(self._report(failed))

    async def _report(self, failed: SentenceFailed) -> None:
        await self._lease.report(SENTENCE_FAILED, failed)

    def _say_how_useful_preparing_was(self) -> None:
        preparing = self._preparing
        if preparing.prepared:
            log.info(
                "sentences were prepared",
                extra={
                    "call_id": self._lease.call_id,
                    "prepared": preparing.prepared,
                    "used": preparing.used,
                    "thrown_away": preparing.thrown_away,
                },
            )

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _spoken(text: str) -> str:
    return " ".join(text.split())


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
