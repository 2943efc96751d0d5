"""What the clock says of one call: verdicts of the watchdog carried out, silence filled, and counted."""

import logging

from callbot.gateway.call_memory import CallMemory
from callbot.gateway.call_metrics import SILENCES
from callbot.gateway.conversation import Conversation
from callbot.gateway.dead_air import Air, DeadAir, Waiting
from callbot.gateway.hand_over import HandOver
from callbot.gateway.hearing import Hearing
from callbot.gateway.silence import Owed, Silence
from callbot.gateway.watchdog import Watch, judge
from callbot.schemas.calls import CallBrief

log = logging.getLogger(__name__)


class Supervision:
    def __init__(
        self,
        brief: CallBrief,
        conversation: Conversation,
        hearing: Hearing,
        hand_over: HandOver,
        dead_air: DeadAir,
        memory: CallMemory,
    ) -> None:
        self._max_call_ms = brief.max_call_seconds * 1000
        self._talk = conversation
        self._hearing = hearing
        self._hand_over = hand_over
        self._dead_air = dead_air
        self._memory = memory
        self._call_id = brief.call_id
        self._silence = Silence()

    def tick(self, now_ms: float, last_media_at_ms: float, *, deaf: bool, typing: bool) -> bool:
        """`deaf`: the caller cannot be heard at the moment. False: the line is gone."""
        self._count_silence(now_ms, caller_busy=typing or self._hearing.sounds)
        call_ms = self._memory.call_ms
        match judge(self._watch(last_media_at_ms, call_ms), now_ms):
            case "no_answer":
                self._talk.apologise("mind", "no answer in time")
            case "no_audio":
                self._talk.apologise("mouth", "no audio in time")
            case "no_ears":
                self._talk.give_up("ears", "nobody hears")
            case "too_long":
                self._talk.say_last("too_long", "too_long", "call", "longest time reached")
            case "no_media":
                return False
            case "fine":
                deaf = deaf or self._hand_over.ears_gone_since_ms is not None
                self._break_silence(now_ms, call_ms, caller_busy=deaf or typing or self._hearing.sounds)
        return True

    def _count_silence(self, now_ms: float, *, caller_busy: bool) -> None:
        """Whatever the reason is, and whether or not the caller can be heard."""
        turn, playout = self._talk.turns.current, self._talk.playout
        owed = None
        sounds = caller_busy or playout.paused or playout.is_audible(now_ms)
        if turn is not None and not sounds and (turn.thinking or playout.unconfirmed()):
            owed = Owed(turn.speech_ended_at_ms, playout.audible_until_ms)
        since = self._silence.too_long(owed, now_ms)
        if turn is not None and since is not None:
            SILENCES.of(since).inc()
            facts = {"call_id": self._call_id, "turn_id": turn.turn_id, "since": since}
            log.warning("the caller hears nothing", extra=facts)

    def _watch(self, last_media_at_ms: float, call_ms: float) -> Watch:
        turn = self._talk.turns.current
        return Watch(
            thinking_since_ms=turn.opened_at_ms if turn and turn.thinking else None,
            speaking_since_ms=self._talk.silent_since_ms(),
            ears_gone_since_ms=self._hand_over.ears_gone_since_ms,
            last_media_at_ms=last_media_at_ms,
            call_ms=call_ms,
            max_call_ms=self._max_call_ms,
        )

    def _break_silence(self, now_ms: float, call_ms: float, *, caller_busy: bool) -> None:
        if self._talk.ending is not None:
            return
        match self._dead_air.due(self._air(call_ms, caller_busy), now_ms):
            case "filler":
                self._talk.fill()
            case "silent_goodbye":
                self._talk.leave_silent_caller()
            case "still_there" | "ending_soon" as reminder:
                self._talk.remind(reminder)
            case "nothing":
                return

    def _air(self, call_ms: float, caller_busy: bool) -> Air:
        turn, playout = self._talk.turns.current, self._talk.playout
        waiting = None
        if turn is not None and turn.awaits_sound and not playout.paused:
            waiting = Waiting(turn.opened_at_ms, turn.speech_ended_at_ms, turn.fillers)
        return Air(
            waiting=waiting,
            bot_audible_until_ms=playout.audible_until_ms,
            caller_busy=caller_busy,
            turn_open=turn is not None,
            call_ms=call_ms,
            max_call_ms=self._max_call_ms,
        )
