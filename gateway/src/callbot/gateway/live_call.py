"""One live call at its gateway: what the socket, the workers and the clock say comes in here, in order."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from callbot.gateway.bot_speech import Line
from callbot.gateway.call_memory import CallMemory
from callbot.gateway.caller_audio import CallerFrames
from callbot.gateway.conversation import Conversation
from callbot.gateway.dead_air import DeadAir
from callbot.gateway.hand_over import HandOver
from callbot.gateway.hearing import Hearing
from callbot.gateway.keypad import Keypad
from callbot.gateway.memory import EventLog, JournalLost, Journals
from callbot.gateway.phrases import PhraseLibrary, texts_of
from callbot.gateway.playout import Playout
from callbot.gateway.provider_reports import ProviderReports
from callbot.gateway.recording import CallRecording, PieceSender, RecordedLine
from callbot.gateway.seating import Beats
from callbot.gateway.supervision import Supervision
from callbot.gateway.turns import Turn, Turns
from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import BusError
from callbot.schemas.audio import FRAME_MS, BotAudio
from callbot.schemas.calls import CallBrief, CallFact, CallJournal, CallState, EndReason, TurnDone
from callbot.schemas.dialog import SentenceFailed, TurnAnswered
from callbot.schemas.message import Receipt
from callbot.schemas.seats import CallOver, Role, SeatRenew
from callbot.schemas.subjects import BOT_AUDIO, CALL_OVER, SEAT_RENEW, SENTENCE_FAILED, TURN_ANSWERED

log = logging.getLogger(__name__)
STATE_WRITTEN_WITHIN_S = 1.0
AHEAD_MS = 5000
"""Audio that is further ahead of the clock than any network's jitter is not a caller's."""
GREETING_WITHIN_S = 0.1
"""So long the phrases may take to come from the bucket, before the mouth is asked to say the greeting."""


@dataclass(frozen=True)
class Platform:
    """What the calls of one gateway share."""

    bus: Bus
    beats: Beats
    journals: Journals
    events: EventLog
    phrases: PhraseLibrary
    pieces: PieceSender


class LiveCall:
    def __init__(
        self, platform: Platform, line: Line, brief: CallBrief, resumed: tuple[CallJournal, int] | None
    ) -> None:
        self.brief = brief
        self._platform = platform
        self._bus = platform.bus
        self._clock = platform.beats.clock
        self._memory = CallMemory(platform.journals, platform.events, brief, resumed)
        self._recording: CallRecording | None = None
        if brief.record:
            began_ms = self._memory.call_ms if resumed else 0
            self._recording = CallRecording(brief, began_ms, platform.pieces, self._clock)
            for entry in self._memory.history:
                self._recording.bot_said(entry.content if entry.role == "bot" else "")
            line = RecordedLine(line, self._recording)
        self._line = line
        turns = Turns(brief.call_id, self._memory.history, self._memory.turns)
        self._frames = CallerFrames()
        self._keypad = Keypad()
        self._dead_air = DeadAir(self._clock())
        self._book = platform.phrases.book(brief)
        self.conversation = Conversation(brief, turns, Playout(), line, self._book, self, self._clock)
        beats, tell = platform.beats, self._memory.tell
        self._hand_over = HandOver(
            self._bus, brief, beats, self._frames, self.conversation, self._spawn, tell
        )
        self._seating = self._hand_over.seating
        self._hearing = Hearing(self.conversation, self._hand_over, self._frames, self._dead_air, self._clock)
        self._supervision = Supervision(
            brief, self.conversation, self._hearing, self._hand_over, self._dead_air, self._memory
        )
        self._typed_in_greeting = ""
        self._listening: list[Listening] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._began_at_ms = self._last_media_at_ms = self._clock()
        self._over: EndReason | None = None
        self._overtaken = False

    async def open(self) -> None:
        """Raises BusError when the bus is away."""
        ids = {"call_id": self.brief.call_id}
        phrases = self._start(self._platform.phrases.prefetch(texts_of(self.brief)))
        bus, keep = self._bus, self._listening.append
        keep(await bus.answer(SEAT_RENEW, self._on_renew, **ids))
        self._listening += await self._hearing.open(bus, self.brief.call_id)
        keep(await bus.answer(TURN_ANSWERED, self._on_turn_answered, **ids))
        keep(await bus.hear(BOT_AUDIO, self._on_bot_audio, **ids))
        keep(await bus.answer(SENTENCE_FAILED, self._on_sentence_failed, **ids))
        keep(await ProviderReports(self._hand_over, self._memory.tell).open(bus, self.brief.call_id))
        self._spawn(self._keep_journal())
        if self._recording:
            self._spawn(self._recording.run())
        self._memory.began()
        self._seating.start()
        if self._book.spoken(self.brief.greeting) is None:
            await asyncio.wait({phrases}, timeout=GREETING_WITHIN_S)
        if self._over is not None:
            return
        self._greet()
        self._save()
        log.info("call began", extra={"call_id": self.brief.call_id, "bot_id": self.brief.bot_id})

    def _greet(self) -> None:
        said_before = self.conversation.turns.last_bot_words()
        notice = self.brief.phrases.recorded if self.brief.record else None
        if self._memory.transfer_came_back:
            self.conversation.greet_after_transfer()
        elif said_before:
            self.conversation.greet(said_before)
        else:
            self.conversation.greet(*filter(None, (notice, self.brief.greeting)))

    async def end(self, reason: EndReason) -> None:
        """State first, then the socket: what comes after (`/voice/next`) reads the state."""
        if self._over is None:
            self._over = reason
            self.conversation.close_turn("the call ended")
            await self._release()

    async def abandon(self) -> None:
        """The socket is gone and the call may live on: another stream of it may begin elsewhere."""
        if self._over is None:
            self._over = "line_lost"
            self.conversation.close_turn("the line was lost")
            await self._release()

    async def _release(self) -> None:
        self._seating.close()
        self._hearing.close()
        self._save()
        if self._recording:
            # Who reads of the end finds the recording in its stream.
            await self._recording.finish()
        if self._over:
            self._memory.ended(self._over)
        if not self._overtaken and not await self._memory.settled(STATE_WRITTEN_WITHIN_S):
            log.error("the last state is not written", extra={"call_id": self.brief.call_id})
        try:
            over = CallOver(call_id=self.brief.call_id, generation=self.brief.generation)
            await self._bus.tell(CALL_OVER, over, call_id=self.brief.call_id)
        except BusError as e:
            log.warning("the seats were not told", extra={"call_id": self.brief.call_id, "reason": str(e)})
        for listening in self._listening:
            await listening.stop()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._line.hang_up()
        log.info("call left", extra={"call_id": self.brief.call_id, "reason": self._over})

    # From the caller and the clock

    def hear(self, payload: bytes) -> None:
        self._memory.media_flowed()
        now_ms = self._last_media_at_ms = self._clock()
        if self._frames.next_seq * FRAME_MS > now_ms - self._began_at_ms + AHEAD_MS:
            return
        if frames := self._frames.cut(payload, now_ms):
            if self._recording:
                if self._recording.awaits_notice:
                    self._recording.bot_said(self.conversation.speech.heard())
                self._recording.heard(b"".join(frame.payload for frame in frames))
            self._hand_over.feed_ears()

    def press(self, digit: str) -> None:
        if self._over is not None:
            return
        typed = self._keypad.press(digit, self._clock())
        if typed or self._keypad.typing:
            self._dead_air.caller_spoke(self._clock())
            self.conversation.stop_for_key()
        self._typed(typed)

    def mark_echoed(self, name: str) -> None:
        if self._over is None:
            self.conversation.mark_echoed(name)

    def tick(self, *, stalled: bool, watching: bool = True) -> None:
        """`stalled`: this process has slept since the last one. Not `watching`: only the sound goes on."""
        if self._over is not None:
            return
        if watching:
            self._hand_over.tick(stalled=stalled)
            if self.conversation.turns.current is None:
                self._seating.at_boundary()
            self._typed(self._keypad.pause(self._clock()))
        self.conversation.pump()
        self._hearing.tick(stalled=stalled)
        if watching:
            deaf, typing = not self._bus.is_connected, self._keypad.typing
            if not self._supervision.tick(self._clock(), self._last_media_at_ms, deaf=deaf, typing=typing):
                self._spawn(self.abandon())

    def _typed(self, digits: str) -> None:
        """Keys that were pressed during a protected greeting count when it is over."""
        digits = self._typed_in_greeting + digits
        self._typed_in_greeting = digits if self.conversation.greeting_is_protected else ""
        if digits and not self._typed_in_greeting and not self.conversation.is_closing:
            turn = self.conversation.open_turn("dtmf", digits, self._clock())
            turn.eager_ms = self._hearing.turn_opened(turn.number)

    # From the workers

    async def _on_renew(self, ask: SeatRenew) -> Receipt:
        return Receipt(accepted=self._hand_over.holds(ask.role, ask.epoch))

    async def _on_turn_answered(self, answer: TurnAnswered) -> Receipt:
        if not self._hand_over.holds(Role.MIND, answer.epoch):
            return Receipt(accepted=False)
        if self._over is None and self.conversation.take(answer):
            self._hearing.tick(stalled=False)
            self._seating.works_on(Role.MIND, None)
            self._save()
        return Receipt()

    def _on_bot_audio(self, audio: BotAudio) -> None:
        if not self._seating.is_current(Role.MOUTH, audio.epoch) or self._over:
            return
        if self.conversation.playout.gap(audio):
            self._seating.unreachable(Role.MOUTH, audio.epoch, "audio lost on the way", blameless=True)
            return
        self.conversation.bot_audio(audio)
        self._hand_over.mouth_works()

    async def _on_sentence_failed(self, failed: SentenceFailed) -> Receipt:
        if not self._hand_over.holds(Role.MOUTH, failed.epoch):
            return Receipt(accepted=False)
        self.conversation.sentence_lost(failed.turn, failed.sentence, failed.reason)
        return Receipt()

    # What the conversation wants done

    def turn_opened(self, turn: Turn) -> None:
        self._hand_over.hand_turn()

    def turn_cancelled(self, number: int) -> None:
        self._hand_over.cancel_turn(number)

    def turn_closed(self) -> None:
        self._hearing.turn_closed()
        self._seating.at_boundary()
        self._hand_over.turn_closed()
        self._save()

    def sentences_waiting(self) -> None:
        self._hand_over.hand_sentences()

    def tell(self, fact: CallFact) -> None:
        self._memory.tell(fact)
        if self._recording and isinstance(fact, TurnDone):
            self._recording.bot_said(fact.turn.heard)

    def finished(self, reason: EndReason) -> None:
        self._spawn(self.end(reason))

    def _save(self) -> None:
        state = CallState.CLOSING if self.conversation.is_closing else CallState.TALKING
        if self._over and self._over != "line_lost":
            state = CallState.ENDED
        self._memory.save(self.conversation.turns, state, self.conversation.pending)

    async def _keep_journal(self) -> None:
        try:
            await self._memory.run()
        except JournalLost:
            log.warning("another gateway has this call", extra={"call_id": self.brief.call_id})
            self._overtaken = True
            await self.abandon()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._start(work)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error(
                "a task of a call failed", extra={"call_id": self.brief.call_id}, exc_info=task.exception()
            )
