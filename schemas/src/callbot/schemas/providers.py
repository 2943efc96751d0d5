"""How providers are: told among the workers of a role, and to the call that one of them has failed."""

from typing import Literal

from callbot.schemas.message import Message, Timestamp, WorkerId


class BreakerState(Message):
    """Bucket `breakers`, key `{role}.{provider}`."""

    state: Literal["closed", "open", "half_open"]
    """`half_open`: one worker is trying it."""
    until: Timestamp
    """Open: until when it is left alone. Half open: until when the trial must be over."""
    opened_times: int = 0
    """In a row, without a success between."""
    reason: str = ""
    """The code of the last error."""
    by: WorkerId


class ProviderFellBack(Message):
    """A provider has failed in this call; another one has done its work, or none. For the call's record."""

    epoch: int
    stage: Literal["ears", "mind", "mouth"]
    number: int
    """Counts this seat's reports from 0: one that is told again is the same."""
    provider: str
    reason: str
    """The error's code."""
    instead: str = ""
    """The provider that did the work; empty: none."""
