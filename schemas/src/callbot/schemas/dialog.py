"""A turn between gateway and mind, and its sentences between gateway and mouth."""

from enum import StrEnum
from typing import Literal

from callbot.schemas.message import Message
from callbot.schemas.webhook import Action, HistoryEntry


class TurnOpened(Message):
    """The caller's turn is over; what is to be said? Handed to the holder of the mind's seat."""

    epoch: int
    turn_id: str
    """`{call_id}.{number}`; also the webhook's Idempotency-Key, the same when handed again."""
    number: int
    input: Literal["speech", "dtmf"]
    user_text: str
    history: list[HistoryEntry]
    """What was said and heard before this turn."""
    elapsed_ms: int
    """Since the end of the turn, when this was sent: hand-overs eat into the same deadlines."""


class TurnForeseen(Message):
    """The turn that is probably coming: think about it, say and call nothing. The same words keep the run."""

    epoch: int
    number: int
    user_text: str
    history: list[HistoryEntry]


class TurnWithdrawn(Message):
    """The caller speaks on: what was foreseen of this turn is not needed."""

    epoch: int
    number: int


class PrepareSentence(Message):
    """The first sentence of a suggestion: worth synthesising, not to be heard before it is asked for."""

    number: int
    """Of the turn."""
    text: str


class TurnCancelled(Message):
    """This turn and all before it are over: stop thinking, stop speaking, say nothing more of them."""

    number: int


Speculation = Literal["none", "used", "restarted"]
"""What became of the run that was started for a foreseen turn; `restarted`: the words had changed."""


class WebhookStatus(StrEnum):
    OK = "ok"
    TIMEOUT = "webhook_timeout"
    UNREACHABLE = "webhook_unreachable"
    BAD_STATUS = "webhook_bad_status"
    INVALID = "webhook_invalid"
    TOO_LARGE = "webhook_too_large"
    RATE_LIMITED = "webhook_rate_limited"
    """429: more calls a second than the user may make."""
    NOT_CALLED = "not_called"


class TurnAnswered(Message):
    """What to say and do. The gateway takes the first answer of a turn; later ones are dropped."""

    epoch: int
    turn_id: str
    number: int
    say: str
    """Empty when there is neither a webhook's answer nor a suggestion: the gateway apologises."""
    sentences: list[str]
    """`say`, cut into what is synthesised at once."""
    action: Action = Action.CONTINUE
    transfer_to: str | None = None
    source: Literal["webhook", "suggestion", "none"]
    suggestion: str = ""
    webhook_status: WebhookStatus
    webhook_detail: str = ""
    """For the call record: what was wrong, without the customer's data."""
    webhook_ms: float | None = None
    llm_error: str = ""
    llm_first_token_ms: float | None = None
    llm_ms: float | None = None
    speculation: Speculation = "none"
    won_ms: float = 0
    """How long the model had run before the turn was opened."""


class SaySentence(Message):
    """One sentence for the holder of the mouth's seat; sentences are spoken in the order they arrive."""

    epoch: int
    turn: int
    sentence: int
    text: str


class SentenceFailed(Message):
    """No provider could say this sentence."""

    epoch: int
    turn: int
    sentence: int
    reason: str
