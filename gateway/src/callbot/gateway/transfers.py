"""What follows when Twilio comes back for a call whose stream has ended; what becomes of a transfer. Pure."""

import re
from datetime import datetime, timedelta
from enum import Enum, auto

from callbot.schemas.calls import CallBrief, CallJournal, CallState
from callbot.schemas.webhook import Action

REENTRIES_IN_A_MINUTE = 3
"""The third is not granted: an apology and the end."""
TAKEN = frozenset({"completed", "answered"})
"""`DialCallStatus`; anything else and nobody has spoken with the caller.

https://www.twilio.com/docs/voice/twiml/dial#dialcallstatus
"""
NOT_TAKEN = frozenset({"busy", "no-answer", "failed", "canceled"})
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


class Next(Enum):
    HANG_UP = auto()
    DIAL = auto()
    TAKE_BACK = auto()
    """Nobody has taken the transfer: the bot has the call again."""
    REENTER = auto()
    """The stream broke, or never began."""
    GIVE_UP = auto()


def what_next(journal: CallJournal | None, dialed: str | None, now: datetime, *, again: bool = False) -> Next:
    """`dialed`: what became of a `<Dial>`; None where Twilio has not just dialed.

    `again`: a stream that never became a call was the second one.
    """
    if journal is None:
        # Its gateway stopped, died or was full, and another one takes it; or its bot was deleted meanwhile,
        # or its token was refused, which call-router says again.
        return Next.GIVE_UP if again or dialed is not None else Next.REENTER
    if journal.state is CallState.ENDED:
        if journal.pending_action is not Action.TRANSFER or not journal.transfer_to:
            return Next.HANG_UP
        if dialed is not None:
            return Next.HANG_UP if dialed in TAKEN else Next.TAKE_BACK
        if not journal.transfer_result:
            return Next.DIAL
        # The stream after the transfer never became a call. Nobody is rung up for that a second time.
    recent = [at for at in journal.reentries_at if now - at < timedelta(seconds=60)]
    return Next.GIVE_UP if len(recent) >= REENTRIES_IN_A_MINUTE - 1 else Next.REENTER


def result_of(dialed: str) -> str:
    """Of a transfer that nobody took, as it stands in the record."""
    return dialed if dialed in NOT_TAKEN else "failed"


def caller_id(brief: CallBrief) -> str | None:
    """As whom to dial: who takes the transfer sees who calls. Where that is no number, the number called.

    Twilio lets the From and To of the call itself through, beside owned and verified numbers, and takes the
    From by default: of a caller without a number that would be `anonymous` or `client:…`, and no phone rings.
    https://www.twilio.com/docs/voice/twiml/dial#callerid
    """
    both = (brief.from_number, brief.to_number)
    return next((number for number in both if _E164.fullmatch(number)), None)
