"""A phone number as its Twilio account has set it up."""

from dataclasses import dataclass, field

from callbot.studio.account import Account


@dataclass(frozen=True, slots=True)
class Hook:
    """A URL that Twilio requests, and how."""

    url: str
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Number:
    phone_number: str
    voice: Hook
    fallback: Hook | None = None
    """Asked when the voice URL fails: out of reach, 4xx, 5xx, no TwiML."""
    status: Hook | None = None
    """Told when the call is over."""
    account: Account = field(default_factory=Account)
    """Signs every request."""
    sid: str = ""
    friendly_name: str = ""
