"""A call: how it is routed, what its seats are offered, what is remembered of it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from callbot.schemas.bots import Suggest
from callbot.schemas.message import BotId, CallId, Message, Timestamp, UserId
from callbot.schemas.webhook import Action, HistoryEntry

Address = Annotated[str, StringConstraints(max_length=256)]
"""A number in E.164, `client:…`, `sip:…`, or a word such as `anonymous`."""


class CallBrief(Message):
    """All that a call needs to know of its bot, fixed when the call is admitted."""

    call_id: CallId
    bot_id: BotId
    user_id: UserId
    generation: int = 1
    """Rises each time that a stream of this call is admitted; epochs begin at `generation * 1024`."""
    from_number: str
    to_number: str
    goal: str
    context: str
    webhook: str
    webhook_secret: str
    voice: str
    greeting: str
    language: str
    transfer_to: str | None
    hints: list[str]
    suggest: Suggest
    max_call_seconds: int

    def for_role(self, role: str) -> "CallBrief":
        """What the holder of a seat needs: only the mind learns the webhook, its secret and who calls."""
        if role == "mind":
            return self
        nothing = dict.fromkeys(
            ("webhook", "webhook_secret", "goal", "context", "from_number", "to_number"), ""
        )
        return self.model_copy(update=nothing)


class RouteCall(Message):
    """Twilio asks what to do with a call (`POST /v1/voice`)."""

    bot_id: BotId | None
    call_id: CallId | None
    """None only in open mode, where the documents' bare curl carries no CallSid."""
    account_sid: Annotated[str, StringConstraints(max_length=64)] = ""
    from_number: Address = ""
    to_number: Address = ""


class RouteVerdict(StrEnum):
    CONNECT = "connect"
    PAUSED = "paused"


class CallRoute(Message):
    """Refused with `bot_not_found` where there is no such bot."""

    verdict: RouteVerdict
    bot_id: BotId
    call_id: CallId
    token: str
    """Signed, bound to call and bot, short-lived; travels as a `<Parameter>` of the stream."""


class AdmitStream(Message):
    """A media stream has begun and shows its token. Refused with `invalid_token` or `bot_not_found`."""

    call_id: CallId
    bot_id: BotId
    token: str


class ReenterCall(Message):
    """The stream of a live call ended without our doing; Twilio asks again (`/v1/voice/next`)."""

    call_id: CallId
    bot_id: BotId


class CallState(StrEnum):
    TALKING = "talking"
    CLOSING = "closing"
    """A hang-up or transfer is pending: its sentence may not have been heard yet."""
    ENDED = "ended"


class StageTimes(Message):
    """Where the time of one turn went, in milliseconds; None where a stage had no part in it."""

    endpointing_ms: float | None = None
    """From the last speech of the caller to the end of the turn."""
    stt_ms: float | None = None
    """What the final transcript cost, most of it inside `endpointing_ms`."""
    llm_first_token_ms: float | None = None
    llm_ms: float | None = None
    webhook_ms: float | None = None
    answer_ms: float | None = None
    """From the opened turn to its answer, hand-overs included."""
    tts_first_audio_ms: float | None = None
    """From the sentence handed to the mouth to its first audio at the gateway."""
    voice_to_voice_ms: float | None = None
    """From the last speech of the caller to the first audio sent to them, at the gateway."""


class TurnRecord(Message):
    """One turn as it is remembered."""

    number: int
    input: Literal["greeting", "speech", "dtmf"]
    user_text: str = ""
    suggestion: str = ""
    say: str = ""
    heard: str = ""
    """What the caller really heard of `say`."""
    action: Action = Action.CONTINUE
    source: Literal["greeting", "webhook", "suggestion", "apology", "none"] = "none"
    webhook_status: str = ""
    errors: list[str] = []
    times: StageTimes = StageTimes()


class CallJournal(Message):
    """What another gateway needs to go on with a call. Bucket `calls`, key: the call's id."""

    brief: CallBrief
    state: CallState = CallState.TALKING
    history: list[HistoryEntry] = []
    turns: int = 0
    """Number of the next turn."""
    pending_action: Action = Action.CONTINUE
    transfer_to: str | None = None
    began_at: Timestamp
    """When the first stream of this call began."""
    reentries_at: list[Timestamp] = []
    """When Twilio last came back for this call: too often in a minute ends it."""


class CallStarted(Message):
    kind: Literal["started"] = "started"
    from_number: str
    to_number: str


class TurnDone(Message):
    kind: Literal["turn"] = "turn"
    turn: TurnRecord


Stage = Literal["ears", "mind", "mouth", "webhook", "call"]
EndReason = Literal["caller_hung_up", "bot_hung_up", "transferred", "failed", "too_long", "line_lost"]


class StageFallback(Message):
    kind: Literal["fallback"] = "fallback"
    stage: Stage
    reason: str


class CallEnded(Message):
    kind: Literal["ended"] = "ended"
    reason: EndReason
    duration_ms: int


CallFact = Annotated[CallStarted | TurnDone | StageFallback | CallEnded, Field(discriminator="kind")]


class CallEvent(Message):
    """Something that happened in a call, for its record. Written once by `event_id`."""

    event_id: str
    call_id: CallId
    bot_id: BotId
    user_id: UserId
    at: Timestamp
    fact: CallFact


class CallRef(Message):
    user_id: UserId
    call_id: CallId


class FallbackRecord(Message):
    stage: str
    reason: str
    at: Timestamp


class CallDetail(Message):
    """A call as the API shows it; complete a moment after the call has ended."""

    call_id: CallId
    bot_id: BotId
    from_number: str = Field(alias="from")
    to_number: str = Field(alias="to")
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    duration_ms: int | None = None
    end_reason: str | None = None
    turns: list[TurnRecord] = []
    turns_omitted: int = 0
    """How many of the oldest turns are left out, because the answer would be too large."""
    fallbacks: list[FallbackRecord] = []
