"""A call: how it is routed, what its seats are offered, what is remembered of it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from callbot.schemas.bots import Suggest, VoiceStatus
from callbot.schemas.message import BotId, CallId, Message, Timestamp, UserId
from callbot.schemas.turn_record import TurnRecord
from callbot.schemas.turn_taking import Phrases, SpeakPhrases, TurnTaking
from callbot.schemas.usage import CallCost, UsageRecord, UsageTold
from callbot.schemas.users import AsUser
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
    sealed_webhook_secret: str
    """Only who has the webhook keys can read it (`callbot.runtime.sealing`)."""
    stream_token_id: str = ""
    """Of the token that this stream has shown: once media has flowed, it is spent."""
    voice: str
    voice_status: VoiceStatus = VoiceStatus.OK
    """Whether `voice` works here, as far as it was known when the stream was admitted."""
    greeting: str
    language: str
    transfer_to: str | None
    hints: list[str]
    suggest: Suggest
    max_call_seconds: int
    turn: TurnTaking = TurnTaking()
    phrases: Phrases = Phrases()
    protect_greeting: bool = False
    record: bool = False

    def for_role(self, role: str) -> "CallBrief":
        """What the holder of a seat needs: only the mind learns the webhook, its secret and who calls."""
        if role == "mind":
            return self
        nothing = dict.fromkeys(
            ("webhook", "sealed_webhook_secret", "goal", "context", "from_number", "to_number"), ""
        )
        return self.model_copy(update=nothing)


class TwilioRequest(Message):
    """An HTTP request that claims to come from Twilio, as it arrived: what its signature covers."""

    target: Annotated[str, StringConstraints(max_length=8192)]
    """Path and query, still percent-encoded; the public URL stands before it, never the `Host`."""
    form: list[tuple[str, str]] = []
    signature: Annotated[str, StringConstraints(max_length=200)] = ""
    """Empty: unsigned."""


class RouteCall(Message):
    """Twilio asks what to do with a call (`POST /v1/voice`).

    Refused with `bot_not_found`, `invalid_bot` (no bot named, no number known), `bad_signature`, `conflict`.
    """

    request: TwilioRequest
    bot_id: BotId | None
    """None: the number's default bot takes the call."""
    call_id: CallId | None
    """None only in open mode, where the documents' bare curl carries no CallSid."""
    account_sid: Annotated[str, StringConstraints(max_length=64)] = ""
    from_number: Address = ""
    to_number: Address = ""


class RouteVerdict(StrEnum):
    CONNECT = "connect"
    PAUSED = "paused"
    DAILY_LIMIT = "daily_limit"
    BUSY = "busy"
    """The user has as many calls at once as are allowed."""


class CallRoute(Message):
    """Refused with `bot_not_found` where there is no such bot."""

    verdict: RouteVerdict
    bot_id: BotId
    call_id: CallId
    token: str
    """Signed, bound to call and bot, short-lived; travels as a `<Parameter>` of the stream."""
    signed_call: str
    """The call's id with our signature: what `call=` of the action URL is."""
    phrases: SpeakPhrases | None = None
    """What the bot may have to say at once: a gateway has it in memory before the stream begins."""


class CheckCall(Message):
    """Twilio asks about a call that exists. Refused with `bad_signature`, `call_not_found`."""

    request: TwilioRequest
    signed_call: Annotated[str, StringConstraints(max_length=200)] = ""
    """Where `call=` is part of the URL; must be of the same call."""
    call_id: CallId | None


class CallChecked(Message):
    """The request is Twilio's, and about this call."""

    call_id: CallId
    bot_id: BotId


class AdmitStream(Message):
    """A media stream has begun and shows its token. Refused with `invalid_token` or `bot_not_found`."""

    call_id: CallId
    bot_id: BotId
    token: str


class ReenterCall(Message):
    """The call goes on with another stream; Twilio asks for it (`/v1/voice/next`).

    Refused with `call_not_found`, `bot_not_found`, `call_over`, `busy` (others have its place by now).
    """

    call_id: CallId
    bot_id: BotId
    transferred_in: int | None = None
    """The generation of the stream that ended with a transfer, which nobody took. None: its stream broke."""


class CallState(StrEnum):
    TALKING = "talking"
    CLOSING = "closing"
    """A hang-up or transfer is pending: its sentence may not have been heard yet."""
    ENDED = "ended"


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
    transfer_result: str = ""
    """Why the transfer that ended this stream was in vain (`no-answer`…); the call goes on with another."""


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


class MediaFlowed(Message):
    """The first frame of a stream has come: its token is spent."""

    kind: Literal["media_flowed"] = "media_flowed"
    stream_token_id: str


class CallEnded(Message):
    kind: Literal["ended"] = "ended"
    reason: EndReason
    duration_ms: int


CallFact = Annotated[
    CallStarted | MediaFlowed | TurnDone | StageFallback | UsageTold | CallEnded, Field(discriminator="kind")
]


class CallEvent(Message):
    """Something that happened in a call, for its record. Written once by `event_id`."""

    event_id: str
    call_id: CallId
    bot_id: BotId
    user_id: UserId
    generation: int = 0
    """Of the stream that it happened in."""
    at: Timestamp
    fact: CallFact


class CallRef(AsUser):
    """Refused with `call_not_found`; the deletion also with `call_live`."""

    call_id: CallId


class ListCalls(AsUser):
    """Newest first."""

    bot_id: BotId | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: Annotated[str, StringConstraints(max_length=200)] | None = None


class CallSummary(Message):
    """A call in the list."""

    call_id: CallId
    bot_id: BotId
    from_number: str = Field(alias="from")
    to_number: str = Field(alias="to")
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    duration_ms: int | None = None
    end_reason: str | None = None


class CallPage(Message):
    calls: list[CallSummary]
    next_cursor: str | None = None


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
    usage: list[UsageRecord] = []
    """Of a call that goes on it may be half a minute old."""
    cost: CallCost | None = None
    """Null: the operator has set no prices."""
