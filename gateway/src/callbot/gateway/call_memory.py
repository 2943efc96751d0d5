"""What one call leaves behind: its journal for another gateway, its events for its record."""

from datetime import UTC, datetime

from callbot.gateway.call_metrics import ENDED, count
from callbot.gateway.memory import EventLog, Journals, JournalWriter
from callbot.gateway.turn_trace import trace_call
from callbot.gateway.turns import Turns
from callbot.schemas.bots import VoiceStatus
from callbot.schemas.calls import (
    CallBrief,
    CallEnded,
    CallFact,
    CallJournal,
    CallStarted,
    CallState,
    EndReason,
    MediaFlowed,
    StageFallback,
)
from callbot.schemas.turn_taking import Phrases
from callbot.schemas.webhook import Action

TURNS_OF_A_LOST_STREAM = 1000
"""Without a journal turns are numbered from here on: the same number twice is the same Idempotency-Key."""


class CallMemory:
    def __init__(
        self,
        journals: Journals,
        events: EventLog,
        brief: CallBrief,
        resumed: tuple[CallJournal, int] | None,
    ) -> None:
        before = resumed[0] if resumed else None
        now = datetime.now(UTC)
        self._brief = brief
        self._events = events
        self._events_told = 0
        self._media_flowed = False
        self._began_at = before.began_at if before else now
        self._reentries_at = before.reentries_at if before else []
        self._writer = JournalWriter(journals, resumed[1] if resumed else None)
        self.transfer_came_back = (
            before is not None
            and before.state is CallState.ENDED
            and before.pending_action is Action.TRANSFER
        )
        """The call had been handed to a number, and nobody took it there."""
        self.history = before.history if before else []
        self.turns = before.turns if before else (brief.generation - 1) * TURNS_OF_A_LOST_STREAM

    @property
    def call_ms(self) -> float:
        """How long the call has lasted, earlier streams included."""
        return (datetime.now(UTC) - self._began_at).total_seconds() * 1000

    def tell(self, fact: CallFact) -> None:
        self._events.add(self._brief, self._events_told, fact)
        self._events_told += 1
        count(fact, self._brief.call_id)

    def began(self) -> None:
        """A stream of the call has begun. That its voice does not work here is told with the first one."""
        self.tell(CallStarted(from_number=self._brief.from_number, to_number=self._brief.to_number))
        if self._brief.generation == 1 and self._brief.voice_status is VoiceStatus.FALLBACK:
            self.tell(StageFallback(stage="mouth", reason=f"voice_fallback: {self._brief.voice}"))

    def media_flowed(self) -> None:
        """The first frame of this stream is here: nobody may begin another one with its token."""
        if not self._media_flowed:
            self._media_flowed = True
            self.tell(MediaFlowed(stream_token_id=self._brief.stream_token_id))

    def ended(self, reason: EndReason) -> None:
        """The stream has; after `line_lost` the call may go on in another one."""
        ENDED.of(reason).inc()
        if reason != "line_lost":
            self.tell(CallEnded(reason=reason, duration_ms=round(self.call_ms)))
            trace_call(self._brief.call_id, self._began_at.timestamp(), reason)

    def save(self, turns: Turns, state: CallState, pending: tuple[Action, str | None]) -> None:
        action, transfer_to = pending
        brief, history = self._brief, list(turns.history)
        if state is CallState.ENDED and action is not Action.TRANSFER:
            # It lies for hours beside those of living calls, in a bucket that has an end.
            long: dict[str, object] = {"goal": "", "context": "", "hints": [], "phrases": Phrases()}
            brief, history = brief.model_copy(update=long), []
        self._writer.save(
            CallJournal(
                brief=brief,
                state=state,
                history=history,
                turns=turns.next_number,
                pending_action=action,
                transfer_to=transfer_to or self._brief.transfer_to,
                began_at=self._began_at,
                reentries_at=self._reentries_at,
            )
        )

    async def settled(self, within_s: float) -> bool:
        return await self._writer.settled(within_s)

    async def run(self) -> None:
        """Until cancelled. Raises JournalLost."""
        await self._writer.run()
