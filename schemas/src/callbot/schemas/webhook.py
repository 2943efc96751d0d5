"""What the customer's webhook is sent and answers."""

from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field

from callbot.schemas.message import BotId, CallId, Message, Timestamp


class Action(StrEnum):
    CONTINUE = "continue"
    HANGUP = "hangup"
    TRANSFER = "transfer"


class HistoryEntry(Message):
    role: Literal["user", "bot"]
    content: str


class WebhookRequest(Message):
    """The body of the POST."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    bot_id: BotId
    user_text: str
    llm_suggestion: str
    history: list[HistoryEntry]
    """What was really said and heard before `user_text`."""
    timestamp: Timestamp
    call_id: CallId
    turn_id: str
    from_number: str = Field(alias="from")
    to_number: str = Field(alias="to")
    language: str


class WebhookAnswer(Message):
    """The body of the answer."""

    say: str = Field(min_length=1, max_length=5000)
    action: Action = Action.CONTINUE
    transfer_to: str | None = None
