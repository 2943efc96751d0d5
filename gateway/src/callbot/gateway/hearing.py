"""What the ears report of one call, and what follows: the bot held up, the next turn foreseen and opened."""

from callbot.gateway.barge_in import BargeIn
from callbot.gateway.caller_audio import CallerFrames
from callbot.gateway.conversation import Conversation
from callbot.gateway.dead_air import DeadAir
from callbot.gateway.hand_over import HandOver
from callbot.gateway.seating import Clock
from callbot.gateway.speculation import Foreseen, Speculation
from callbot.runtime import tracing
from callbot.runtime.bus import Bus, Listening
from callbot.schemas.audio import FRAME_MS
from callbot.schemas.message import Receipt
from callbot.schemas.seats import Role
from callbot.schemas.speech import (
    EarsProgress,
    InterimTranscript,
    SpeechConfirmed,
    SpeechJudged,
    SpeechVerdict,
    TurnEager,
    TurnEnded,
    TurnResumed,
)
from callbot.schemas.subjects import (
    EARS_PROGRESS,
    SPEECH_CONFIRMED,
    SPEECH_JUDGED,
    TRANSCRIPT_INTERIM,
    TURN_EAGER,
    TURN_ENDED,
    TURN_RESUMED,
)


class Hearing:
    def __init__(
        self,
        conversation: Conversation,
        hand_over: HandOver,
        frames: CallerFrames,
        dead_air: DeadAir,
        clock: Clock,
    ) -> None:
        self._talk = conversation
        self._hand_over = hand_over
        self._frames = frames
        self._dead_air = dead_air
        self._clock = clock
        self._barge_in = BargeIn()
        self._speculation = Speculation()
        self._settled_to_seq = -1
        self._held: list[tuple[TurnEnded, float]] = []
        """Said during a greeting that nothing cuts off, and until when."""
        self._over = False

    async def open(self, bus: Bus, call_id: str) -> list[Listening]:
        return [
            await bus.hear(EARS_PROGRESS, self._on_progress, call_id=call_id),
            await bus.hear(SPEECH_CONFIRMED, self._on_confirmed, call_id=call_id),
            await bus.hear(SPEECH_JUDGED, self._on_judged, call_id=call_id),
            await bus.hear(TRANSCRIPT_INTERIM, self._on_interim, call_id=call_id),
            await bus.hear(TURN_EAGER, self._on_eager, call_id=call_id),
            await bus.hear(TURN_RESUMED, self._on_resumed, call_id=call_id),
            await bus.answer(TURN_ENDED, self._on_turn_ended, call_id=call_id),
        ]

    @property
    def sounds(self) -> bool:
        """The caller makes a sound, or has the floor."""
        return self._barge_in.sounds or bool(self._held)

    def tick(self, *, stalled: bool) -> None:
        """Also after whatever may have begun an answer: it must not begin in the caller's words."""
        if not (self.sounds or self._barge_in.paused):
            return
        now_ms = self._clock()
        if stalled:
            self._barge_in.slept(now_ms)
        self._talk.follow(self._barge_in.tick(self._talk.bot(), now_ms))
        if self._held and not self._talk.greeting_is_protected:
            self._open_held()

    def turn_closed(self) -> None:
        self._barge_in.turn_over()

    def turn_opened(self, number: int) -> float | None:
        """Of whatever input. Returns `eager_ms`, if this turn was foreseen."""
        eager_ms, withdrawn = self._speculation.opened(number)
        if withdrawn is not None:
            self._hand_over.withdraw(withdrawn)
        return eager_ms

    def close(self) -> None:
        self._over = True

    def _ignores(self, epoch: int) -> bool:
        return self._over or not self._hand_over.seating.is_current(Role.EARS, epoch)

    def _on_progress(self, progress: EarsProgress) -> None:
        if self._ignores(progress.epoch):
            return
        self._hand_over.ears_heard(progress.heard_seq)
        self._hand_over.ears_settled(progress.keep_from_seq)
        if progress.missing_from_seq is not None:
            self._hand_over.ears_miss(progress.missing_from_seq)
        self._talk.follow(self._barge_in.progressed(progress.keep_from_seq, self._clock()))

    def _on_confirmed(self, speech: SpeechConfirmed) -> None:
        if not self._ignores(speech.epoch) and speech.from_seq > self._settled_to_seq:
            self._talk.follow(self._barge_in.confirmed(speech.from_seq, self._talk.bot(), self._clock()))

    def _on_judged(self, sound: SpeechJudged) -> None:
        if self._ignores(sound.epoch) or sound.from_seq <= self._settled_to_seq:
            return
        now_ms = self._clock()
        step = self._barge_in.judged(
            sound.from_seq, sound.verdict, sound.sound_ended_at_ms, self._talk.bot(), now_ms
        )
        if sound.verdict is not SpeechVerdict.NOISE:
            self._dead_air.caller_spoke(now_ms)
        if self._barge_in.is_dismissed(sound.from_seq):
            self._withdraw(sound.from_seq)
        self._talk.follow(step)

    def _on_interim(self, interim: InterimTranscript) -> None:
        if not self._ignores(interim.epoch):
            self._barge_in.sign_of(interim.from_seq, self._clock())

    def _on_eager(self, eager: TurnEager) -> None:
        doubtful = self._barge_in.is_dismissed(eager.from_seq) or eager.from_seq <= self._settled_to_seq
        epoch = self._hand_over.seating.epoch(Role.MIND)
        if self._ignores(eager.epoch) or doubtful or self._talk.is_closing or not epoch:
            return
        now_ms = self._clock()
        turns = self._talk.turns
        eager_ms = now_ms - self._frames.arrived_at_ms(eager.speech_ended_at_ms, now_ms)
        turn = Foreseen(eager.from_seq, turns.next_number, eager.text, round(eager_ms, 1))
        if self._speculation.foresee(turn):
            with tracing.about(turns.next_id):
                self._hand_over.foresee(turns.foresee(epoch, eager.text, self._talk.speech.heard()))

    def _on_resumed(self, resumed: TurnResumed) -> None:
        if not self._ignores(resumed.epoch):
            self._withdraw(resumed.from_seq)

    async def _on_turn_ended(self, ended: TurnEnded) -> Receipt:
        if not self._hand_over.holds(Role.EARS, ended.epoch):
            return Receipt(accepted=False)
        if ended.to_seq <= self._settled_to_seq or self._over:
            return Receipt()
        self._settled_to_seq = ended.to_seq
        spoken_until_ms = self._frames.arrived_at_ms(ended.speech_ended_at_ms, self._clock())
        self._hand_over.ears_settled(ended.to_seq + 1)
        is_turn, step = self._barge_in.ended(ended, self._talk.bot())
        if not is_turn:
            self._withdraw(ended.from_seq)
            self._talk.follow(step)
        elif self._talk.greeting_is_protected:
            tracing.join(self._talk.turns.next_id)
            self._held.append((ended, spoken_until_ms))
        else:
            tracing.join(self._talk.turns.next_id)
            self._open(ended, spoken_until_ms)
        return Receipt()

    def _open_held(self) -> None:
        """All that was said during the greeting is one turn."""
        held, self._held = self._held, []
        last, spoken_until_ms = held[-1]
        text = " ".join(ended.text for ended, _ in held if ended.text)
        error = next((ended.error for ended, _ in held if ended.error), "")
        if text or error:
            self._open(
                last.model_copy(update={"text": text, "error": "" if text else error}), spoken_until_ms
            )

    def _open(self, ended: TurnEnded, spoken_until_ms: float) -> None:
        self._dead_air.caller_spoke(self._clock())
        turn = self._talk.open_turn("speech", ended.text, spoken_until_ms)
        turn.endpointing_ms = float(ended.ended_at_ms - ended.speech_ended_at_ms)
        turn.stt_ms = ended.stt_ms
        turn.spoken_from_ms = spoken_until_ms - (ended.speech_ended_at_ms - ended.from_seq * FRAME_MS)
        turn.eager_ms = self.turn_opened(turn.number)
        if ended.error:
            self._talk.apologise("ears", ended.error)
        elif not ended.text:
            self._talk.ask_again()

    def _withdraw(self, from_seq: int) -> None:
        number = self._speculation.resumed(from_seq)
        if number is not None:
            self._hand_over.withdraw(number)
