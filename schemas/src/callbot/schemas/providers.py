"""How the providers of a role are, told among the workers of that role."""

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
