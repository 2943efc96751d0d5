"""What is not settled goes to whoever holds the seat: audio to the ears, the open turn to the mind, sentences
to the mouth. The same code serves the first holder and every later one."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from callbot.gateway.call_metrics import FRAMES_AGAIN
from callbot.gateway.caller_audio import CallerFrames
from callbot.gateway.conversation import Conversation
from callbot.gateway.seating import Beats, Seating
from callbot.runtime import tracing
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError, NoResponders, Silent
from callbot.schemas.audio import FRAME_MS, CallerAudio
from callbot.schemas.calls import CallBrief, CallFact
from callbot.schemas.dialog import SaySentence, TurnCancelled, TurnForeseen, TurnWithdrawn
from callbot.schemas.message import Wire
from callbot.schemas.seats import Role, generation_of
from callbot.schemas.subjects import (
    CALLER_AUDIO,
    SAY_SENTENCE,
    TURN_CANCELLED,
    TURN_FORESEEN,
    TURN_OPENED,
    TURN_WITHDRAWN,
    Subject,
)
from callbot.schemas.usage import UsageTold

log = logging.getLogger(__name__)
RECEIPT_WITHIN_S = 0.5
RETRY_AFTER_S = 0.1
EARS_WAIT_FRAMES = 500 // FRAME_MS
SOON_FRAMES = 10
"""More than so many that wait are a replay."""
EARS_STUCK_MS = 1500
"""Ears that beat, and judge nothing of this much waiting audio for so long, are stuck or no longer ours."""
Spawn = Callable[[Coroutine[Any, Any, None]], None]
M = TypeVar("M", bound=Wire)


class HandOver:
    """The gateway's inboxes of one call, its three seats, and the way from the ones to the others."""

    def __init__(
        self,
        bus: Bus,
        brief: CallBrief,
        beats: Beats,
        frames: CallerFrames,
        conversation: Conversation,
        spawn: Spawn,
        tell: Callable[[CallFact], None],
    ) -> None:
        """`tell`: for the call's record."""
        self.seating = Seating(bus, brief, beats, self, spawn)
        self._ears = self.seating.seats[Role.EARS]
        self.ears_gone_since_ms: float | None = None
        self._bus = bus
        self._call_id = brief.call_id
        self._tell_ears = bus.teller(CALLER_AUDIO, call_id=brief.call_id)
        self._generation = brief.generation
        self._clock = beats.clock
        self._frames = frames
        self._conversation = conversation
        self._spawn = spawn
        self._record = tell
        self._next_seq = 0
        self._live_from_seq = 0
        self._feeding = False
        self._heard_seq = -1
        self._ears_moved_at_ms = 0.0
        self._ears_apology_due = False
        self._handing_sentences = False
        self._handed: set[tuple[int, int, int]] = set()

    def holds(self, role: Role, epoch: int) -> bool:
        """Does this epoch count? Raises Silent when it is of a newer stream: another gateway answers."""
        if generation_of(epoch) > self._generation:
            raise Silent
        return self.seating.is_current(role, epoch)

    # What the seats say

    def first_frame_wanted(self) -> int:
        return self._frames.keep_from_seq

    def installed(self, role: Role, epoch: int) -> None:
        if role is Role.EARS:
            self.ears_gone_since_ms = None
            self._heard_seq = self._frames.keep_from_seq - 1
            self._ears_moved_at_ms = self._clock()
            self._next_seq = self._frames.keep_from_seq
            self._live_from_seq = self._frames.next_seq
            self.feed_ears()
        elif role is Role.MIND:
            self._spawn(self._hand_turn(epoch))
        else:
            self.hand_sentences()

    def lost(self, role: Role, epoch: int) -> None:
        """It may be dead: then what it has used since it told it last is in no record."""
        self._record(UsageTold(seat=role.value, epoch=epoch, number=0, used=[]))

    def fell_back(self, role: Role, reason: str) -> None:
        turn = self._conversation.turns.current
        if role is Role.EARS:
            self.ears_gone_since_ms = self._clock()
            self._ears_apology_due = True
            self.turn_closed()
        elif role is Role.MIND and turn is not None and turn.thinking:
            self._conversation.apologise("mind", reason)
        elif role is Role.MOUTH and self._conversation.playout.unconfirmed():
            self._conversation.apologise("mouth", reason)

    def turn_closed(self) -> None:
        """Nobody hears the caller: said once, as soon as nothing else is being said."""
        if self._ears_apology_due and self._conversation.turns.current is None:
            self._ears_apology_due = False
            if self.ears_gone_since_ms is not None:
                self._conversation.apologise("ears", "nobody hears")

    def dropped(self, role: Role, item: str) -> None:
        number = int(item.rpartition(":")[2])
        if role is Role.EARS:
            self._frames.settle(self._frames.next_seq)
            self._conversation.apologise("ears", f"poison {item}")
        elif role is Role.MIND:
            self._conversation.apologise("mind", f"poison {item}")
        else:
            self._conversation.sentence_lost(int(item.split(":")[1]), number, f"poison {item}")

    # To the ears

    def feed_ears(self) -> None:
        """Sends the frames that the holder has not been sent; in order, whoever calls."""
        if self._feeding or not self._ears.epoch:
            return
        if self._frames.next_seq - self._next_seq > SOON_FRAMES:
            self._feeding = True
            self._spawn(self._replay())
        elif self._bus.is_connected:
            while (audio := self._next_audio()) is not None:
                self._tell_ears(audio)

    def _next_audio(self) -> CallerAudio | None:
        epoch = self._ears.epoch
        self._next_seq = max(self._next_seq, self._frames.keep_from_seq)
        frame = self._frames.get(self._next_seq)
        if not epoch or frame is None:
            return None
        self._next_seq += 1
        return CallerAudio(
            epoch, frame.seq, frame.seq * FRAME_MS, frame.payload, frame.seq < self._live_from_seq
        )

    async def _replay(self) -> None:
        """As fast as the bus takes it."""
        try:
            while self._bus.is_connected and (audio := self._next_audio()) is not None:
                await self._bus.tell(CALLER_AUDIO, audio, call_id=self._call_id)
        except BusError as e:
            log.warning("caller audio not sent", extra={"call_id": self._call_id, "reason": str(e)})
        finally:
            self._feeding = False

    def ears_heard(self, heard_seq: int) -> None:
        if heard_seq > self._heard_seq:
            self._heard_seq = heard_seq
            self._ears_moved_at_ms = self._clock()

    def ears_miss(self, from_seq: int) -> None:
        """Frames were lost on the way, as when the broker is killed: they are sent again."""
        FRAMES_AGAIN.inc(max(0, self._next_seq - from_seq))
        self._next_seq = min(self._next_seq, from_seq)
        self.feed_ears()

    def tick(self, *, stalled: bool) -> None:
        """A worker can live and beat and yet not hear this call: its seat was given up, or is stuck."""
        self.seating.tick(stalled=stalled)
        now_ms = self._clock()
        waiting = self._next_seq - 1 - self._heard_seq > EARS_WAIT_FRAMES
        if stalled or not self._bus.is_connected or not waiting:
            self._ears_moved_at_ms = now_ms
        elif now_ms - self._ears_moved_at_ms > EARS_STUCK_MS:
            self._ears_moved_at_ms = now_ms
            self.seating.unreachable(Role.EARS, self.seating.epoch(Role.EARS), "no progress")

    def ears_settled(self, keep_from_seq: int) -> None:
        self._frames.settle(keep_from_seq)
        self.seating.works_on(Role.EARS, f"audio:{self._frames.keep_from_seq}")

    # To the mind

    def hand_turn(self) -> None:
        turn = self._conversation.turns.current
        if turn is not None:
            self.seating.works_on(Role.MIND, f"turn:{turn.number}")
        if self.seating.has_fallen_back(Role.MIND):
            self._conversation.apologise("mind", "nobody thinks")
            return
        epoch = self.seating.epoch(Role.MIND)
        if epoch:
            self._spawn(self._hand_turn(epoch))

    async def _hand_turn(self, epoch: int) -> None:
        """Until the holder has the open turn, the turn is answered, or the seat has moved."""
        while self.seating.is_current(Role.MIND, epoch):
            opened = self._conversation.turns.hand_over(epoch, self._clock())
            if opened is None:
                return
            try:
                with tracing.about(opened.turn_id):
                    receipt = await self._bus.ask(
                        TURN_OPENED, opened, timeout_s=RECEIPT_WITHIN_S, call_id=self._call_id
                    )
            except NoResponders:
                self.seating.unreachable(Role.MIND, epoch, "nobody listens")
                return
            except BusError:
                await asyncio.sleep(RETRY_AFTER_S)
                continue
            if not receipt.accepted:
                self.seating.unreachable(Role.MIND, epoch, "not the holder")
            return

    def cancel_turn(self, number: int) -> None:
        self.seating.works_on(Role.MIND, None)
        self._spawn(self._tell(TURN_CANCELLED, TurnCancelled(number=number)))

    def foresee(self, turn: TurnForeseen) -> None:
        self._spawn(self._tell(TURN_FORESEEN, turn))

    def withdraw(self, number: int) -> None:
        withdrawn = TurnWithdrawn(epoch=self.seating.epoch(Role.MIND), number=number)
        self._spawn(self._tell(TURN_WITHDRAWN, withdrawn))

    async def _tell(self, row: Subject[M], message: M) -> None:
        try:
            await self._bus.tell(row, message, call_id=self._call_id)
        except BusError as e:
            log.warning("not told", extra={"call_id": self._call_id, "what": row.name, "reason": str(e)})

    # To the mouth

    def hand_sentences(self) -> None:
        """Every sentence that is not complete and that this holder has not been given, in order."""
        self.mouth_works()
        if self.seating.has_fallen_back(Role.MOUTH):
            self._conversation.apologise("mouth", "nobody speaks")
        elif not self._handing_sentences:
            self._handing_sentences = True
            self._spawn(self._hand_sentences())

    def mouth_works(self) -> None:
        """Which sentence counts against the mouth's holder, should it be lost now."""
        waiting = self._conversation.playout.unconfirmed()
        item = f"sentence:{waiting[0].turn}:{waiting[0].number}" if waiting else None
        self.seating.works_on(Role.MOUTH, item)

    async def _hand_sentences(self) -> None:
        try:
            while (epoch := self.seating.epoch(Role.MOUTH)) and await self._hand_next_sentence(epoch):
                pass
        finally:
            self._handing_sentences = False

    async def _hand_next_sentence(self, epoch: int) -> bool:
        waiting = self._conversation.playout.unconfirmed()
        sentence = next((s for s in waiting if (epoch, s.turn, s.number) not in self._handed), None)
        if sentence is None:
            return False
        self._conversation.speech.asked(sentence)
        message = SaySentence(epoch=epoch, turn=sentence.turn, sentence=sentence.number, text=sentence.text)
        try:
            with tracing.about(f"{self._call_id}.{sentence.turn}"):
                receipt = await self._bus.ask(
                    SAY_SENTENCE, message, timeout_s=RECEIPT_WITHIN_S, call_id=self._call_id
                )
        except NoResponders:
            self.seating.unreachable(Role.MOUTH, epoch, "nobody listens")
            return False
        except BusError:
            await asyncio.sleep(RETRY_AFTER_S)
            return True
        if not receipt.accepted:
            self.seating.unreachable(Role.MOUTH, epoch, "not the holder")
            return False
        self._handed = {h for h in self._handed if h[0] == epoch and h[1] == sentence.turn}
        self._handed.add((epoch, sentence.turn, sentence.number))
        return True
