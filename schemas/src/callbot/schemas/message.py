"""The base of every JSON message, and the ids that may become part of a subject."""

from datetime import datetime
from typing import Annotated, Protocol, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints

CALL_ID_PATTERN = r"^CA[0-9a-f]{32}$"
TOKEN_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

CallId = Annotated[str, StringConstraints(pattern=CALL_ID_PATTERN)]
"""Twilio's CallSid: `CA` and 32 hex digits (https://www.twilio.com/docs/glossary/what-is-a-sid)."""
BotId = Annotated[str, StringConstraints(pattern=TOKEN_PATTERN)]
UserId = Annotated[str, StringConstraints(pattern=TOKEN_PATTERN)]
WorkerId = Annotated[str, StringConstraints(pattern=TOKEN_PATTERN)]
Timestamp = Annotated[datetime, AwareDatetime]


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL")
    return text


NoNul = AfterValidator(_no_nul)


class Wire(Protocol):
    """What the bus can carry: JSON messages and binary audio alike."""

    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, data: bytes) -> Self: ...


class Message(BaseModel):
    """A JSON message. Readers ignore unknown fields, so that services deploy one by one."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    def encode(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises pydantic.ValidationError on anything that is not this message."""
        return cls.model_validate_json(data)


class Receipt(Message):
    """The answer to a report or a hand-over."""

    accepted: bool = True
    """False: the sender's epoch is over, or the receiver does not hold the seat."""


class Refusal(Message):
    """Why a request was refused. Travels with the header `Callbot-Refused: 1`."""

    code: str
    message: str
    details: dict[str, str] = {}
