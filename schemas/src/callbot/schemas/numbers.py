"""A user's Twilio number."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from callbot.schemas.message import Message
from callbot.schemas.users import AsUser

AccountSid = Annotated[str, StringConstraints(pattern=r"^AC[0-9a-f]{32}$")]
PhoneNumberSid = Annotated[str, StringConstraints(pattern=r"^PN[0-9a-f]{32}$")]
AuthToken = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,100}$")]


class ConnectTwilioBody(Message):
    """The body of `POST /v1/connect-twilio`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    account_sid: AccountSid
    auth_token: AuthToken = Field(repr=False)
    """Kept sealed; never returned, never logged."""
    phone_number_sid: PhoneNumberSid


class ConnectTwilio(AsUser):
    """Refused with `twilio_auth_failed`, `number_not_found`, `number_taken`, `twilio_unavailable`, `conflict`

    `conflict`: another request is changing the same number.
    """

    body: ConnectTwilioBody


class Connected(Message):
    message: str = "Connected"
    phone_number: str


class GetNumber(AsUser):
    """Refused with `no_number` before connecting."""


class MyNumber(Message):
    phone_number: str
    bots_count: int


class DisconnectNumber(AsUser):
    """Refused with `no_number`, `conflict`, `twilio_unavailable`."""
