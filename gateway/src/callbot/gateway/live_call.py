"""One live call at its gateway: what the socket, the workers and the clock say comes in here, in order."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from callbot.gateway.call_memory import CallMemory
from callbot.gateway.caller_audio import CallerFrames
from callbot.gateway.conversation import Conversation, Line
from callbot.gateway.hand_over import HandOver
from callbot.gateway.keypad import Keypad
from callbot.gateway.memory import EventLog, JournalLost, Journals
from callbot.gateway.phrases import Phrase
from callbot.gateway.playout import Playout
from callbot.gateway.seating import Beats
from callbot.gateway.turns import Turn, Turns
from callbot.gateway.watchdog import Verdict, Watch, judge
from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import BusError, Silent
from callbot.schemas.audio import FRAME_MS, BotAudio
from callbot.schemas.calls import CallBrief, CallFact, CallJournal, CallState, EndReason
from callbot.schemas.dialog import SentenceFailed, TurnAnswered
from callbot.schemas.message import Receipt
from callbot.schemas.seats import CallOver, Role, SeatRenew, generation_of
from callbot.schemas.speech import EarsProgress, TurnEnded
from callbot.schemas.subjects import (
    BOT_AUDIO,
    CALL_OVER,
    EARS_PROGRESS,
    SEAT_RENEW,
    SENTENCE_FAILED,
    TURN_ANSWERED,
    TURN_ENDED,
)

log = logging.getLogger(__name__)
STATE_WRITTEN_WITHIN_S = 1.0
AHEAD_MS = 5000
"""Audio that is further ahead of the clock than any network's jitter is not a caller's."""


@dataclass(frozen=True)
class Platform:
    """What the calls of one gateway share."""

    bus: Bus
    beats: Beats
    journals: Journals
    events: EventLog
    phrases: dict[str, Phrase]


class LiveCall:
    def __init__(
        self, platform: Platform, line: Line, brief: CallBrief, resumed: tuple[CallJournal, int] | None
    ) -> None:
        self.brief = brief
        self._platform = platform
        self._bus = platform.bus
        self._line = line
        self._clock = platform.beats.clock
        self._memory = CallMemory(platform.journals, platform.events, brief, resumed)
        turns = Turns(brief.call_id, self._memory.history, self._memory.turns)
        self._frames = CallerFrames()
        self._keypad = Keypad()
        self.conversation = Conversation(brief, turns, Playout(), line, platform.phrases, self, self._clock)
        self._hand_over = HandOver(
            self._bus, brief, platform.beats, self._frames, self.conversation, self._spawn
        )
        self._seating = self._hand_over.seating
        self._listening: list[Listening] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._began_at_ms = self._last_media_at_ms = self._clock()
        self._settled_to_seq = -1
        self._over: EndReason | None = None
        self._overtaken = False
        self._first_words = turns.last_bot_words() or brief.greeting

    async def open(self) -> None:
        """Raises BusError when the bus is away."""
        ids = {"call_id": self.brief.call_id}
        bus, keep = self._bus, self._listening.append
        keep(await bus.answer(SEAT_RENEW, self._on_renew, **ids))
        keep(await bus.hear(EARS_PROGRESS, self._on_ears_progress, **ids))
        keep(await bus.answer(TURN_ENDED, self._on_turn_ended, **ids))
        keep(await bus.answer(TURN_ANSWERED, self._on_turn_answered, **ids))
        keep(await bus.hear(BOT_AUDIO, self._on_bot_audio, **ids))
        keep(await bus.answer(SENTENCE_FAILED, self._on_sentence_failed, **ids))
        self._spawn(self._keep_journal())
        self._memory.began()
        self._seating.start()
        self.conversation.greet(self._first_words)
        self._save()
        log.info("call began", extra={"call_id": self.brief.call_id, "bot_id": self.brief.bot_id})

    async def end(self, reason: EndReason) -> None:
        """State first, then the socket: what comes after (`/voice/next`) reads the state."""
        if self._over is None:
            self._over = reason
            self.conversation.close_turn("the call ended")
            self._memory.ended(reason)
            await self._release()

    async def abandon(self) -> None:
        """The socket is gone and the call may live on: another stream of it may begin elsewhere."""
        if self._over is None:
            self._over = "line_lost"
            self.conversation.close_turn("the line was lost")
            await self._release()

    async def _release(self) -> None:
        self._seating.close()
        self._save()
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

    async def hear(self, payload: bytes) -> None:
        self._memory.media_flowed()
        now_ms = self._last_media_at_ms = self._clock()
        if self._frames.next_seq * FRAME_MS > now_ms - self._began_at_ms + AHEAD_MS:
            return
        if self._frames.cut(payload, now_ms):
            await self._hand_over.feed_ears()

    def press(self, digit: str) -> None:
        self._typed(self._keypad.press(digit, self._clock()))

    def mark_echoed(self, name: str) -> None:
        if self._over is None:
            self.conversation.mark_echoed(name)

    def tick(self, *, stalled: bool) -> None:
        """Every few tens of milliseconds. `stalled`: this process has slept since the last one."""
        if self._over is None:
            self._hand_over.tick(stalled=stalled)
            if self.conversation.turns.current is None:
                self._seating.at_boundary()
            self._typed(self._keypad.pause(self._clock()))
            self.conversation.pump()
            self._obey(judge(self._watch(), self._clock()))

    def _typed(self, digits: str) -> None:
        if digits and not self.conversation.is_closing:
            self.conversation.open_turn("dtmf", digits, self._clock())

    def _watch(self) -> Watch:
        turn = self.conversation.turns.current
        return Watch(
            thinking_since_ms=turn.opened_at_ms if turn and turn.thinking else None,
            speaking_since_ms=self.conversation.silent_since_ms(),
            ears_gone_since_ms=self._hand_over.ears_gone_since_ms,
            last_media_at_ms=self._last_media_at_ms,
            call_ms=self._memory.call_ms,
            max_call_ms=self.brief.max_call_seconds * 1000,
        )

    def _obey(self, verdict: Verdict) -> None:
        match verdict:
            case "no_answer":
                self.conversation.apologise("mind", "no answer in time")
            case "no_audio":
                self.conversation.apologise("mouth", "no audio in time")
            case "no_ears":
                self.conversation.say_last("goodbye", "failed", "ears", "nobody hears")
            case "too_long":
                self.conversation.say_last("too_long", "too_long", "call", "longest time reached")
            case "no_media":
                self._spawn(self.abandon())
            case "fine":
                return

    # From the workers

    def _holds(self, role: Role, epoch: int) -> bool:
        """Does this epoch count? Raises Silent when it is of a newer stream: another gateway answers."""
        if generation_of(epoch) > self.brief.generation:
            raise Silent
        return self._seating.is_current(role, epoch)

    async def _on_renew(self, ask: SeatRenew) -> Receipt:
        return Receipt(accepted=self._holds(ask.role, ask.epoch))

    def _on_ears_progress(self, progress: EarsProgress) -> None:
        if not self._seating.is_current(Role.EARS, progress.epoch):
            return
        self._hand_over.ears_heard(progress.heard_seq)
        self._hand_over.ears_settled(progress.keep_from_seq)

    async def _on_turn_ended(self, ended: TurnEnded) -> Receipt:
        if not self._holds(Role.EARS, ended.epoch):
            return Receipt(accepted=False)
        if ended.to_seq <= self._settled_to_seq or self.conversation.is_closing or self._over:
            return Receipt()
        self._settled_to_seq = ended.to_seq
        if not (ended.text or ended.error) and self.conversation.is_speaking:
            # A noise in the middle of an answer is no reason to stop it.
            self._hand_over.ears_settled(ended.to_seq + 1)
            return Receipt()
        spoken_until_ms = self._frames.arrived_at_ms(ended.speech_ended_at_ms, self._clock())
        self._hand_over.ears_settled(ended.to_seq + 1)
        turn = self.conversation.open_turn("speech", ended.text, spoken_until_ms)
        turn.endpointing_ms = float(ended.ended_at_ms - ended.speech_ended_at_ms)
        turn.stt_ms = ended.stt_ms
        if ended.error:
            self.conversation.apologise("ears", ended.error)
        elif not ended.text:
            self.conversation.ask_again()
        return Receipt()

    async def _on_turn_answered(self, answer: TurnAnswered) -> Receipt:
        if not self._holds(Role.MIND, answer.epoch):
            return Receipt(accepted=False)
        if self._over is None and self.conversation.take(answer):
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
        if not self._holds(Role.MOUTH, failed.epoch):
            return Receipt(accepted=False)
        self.conversation.sentence_lost(failed.turn, failed.sentence, failed.reason)
        return Receipt()

    # What the conversation wants done

    def turn_opened(self, turn: Turn) -> None:
        self._hand_over.hand_turn()

    def turn_cancelled(self, number: int) -> None:
        self._seating.works_on(Role.MIND, None)
        self._spawn(self._hand_over.cancel_turn(number))

    def turn_closed(self) -> None:
        self._seating.at_boundary()
        self._hand_over.turn_closed()
        self._save()

    def sentences_waiting(self) -> None:
        self._hand_over.hand_sentences()

    def tell(self, fact: CallFact) -> None:
        self._memory.tell(fact)

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
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error(
                "a task of a call failed", extra={"call_id": self.brief.call_id}, exc_info=task.exception()
            )
