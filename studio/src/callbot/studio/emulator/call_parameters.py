"""The form fields of Twilio's voice webhooks (https://www.twilio.com/docs/voice/twiml#request-parameters)."""

import math
import secrets
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum


class CallStatus(StrEnum):
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"


class DialOutcome(StrEnum):
    """What becomes of a `<Dial>`."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"


def new_sid(prefix: str) -> str:
    """`prefix` and 32 hex digits."""
    return prefix + secrets.token_hex(16)


def standard(
    call_sid: str, account_sid: str, from_number: str, to_number: str, status: CallStatus
) -> dict[str, str]:
    """What every voice request carries, the places as the network knows them."""
    fields = {
        "CallSid": call_sid,
        "AccountSid": account_sid,
        "From": from_number,
        "To": to_number,
        "CallStatus": status.value,
        "ApiVersion": "2010-04-01",
        "Direction": "inbound",
        "Caller": from_number,
        "Called": to_number,
        "StirVerstat": "TN-Validation-Passed-A",
    }
    for side in ("From", "Caller"):
        fields |= _place(side, "SAN FRANCISCO", "CA", "94105")
    for side in ("To", "Called"):
        fields |= _place(side, "", "CA", "")
    return fields


def dialed(outcome: DialOutcome, talk_s: float) -> dict[str, str]:
    """What `<Dial action>` receives."""
    if outcome is not DialOutcome.ANSWERED:
        return {"DialCallStatus": outcome.value, "DialCallSid": new_sid("CA"), "DialBridged": "false"}
    return {
        "DialCallStatus": "completed",
        "DialCallSid": new_sid("CA"),
        "DialCallDuration": str(round(talk_s)),
        "DialBridged": "true",
    }


def ended(duration_s: float) -> dict[str, str]:
    """What the status callback `completed` adds."""
    return {
        "CallDuration": str(round(duration_s)),
        "Duration": str(math.ceil(duration_s / 60)),
        "Timestamp": format_datetime(datetime.now(UTC)),
        "CallbackSource": "call-progress-events",
        "SequenceNumber": "0",
    }


def _place(side: str, city: str, state: str, zip_code: str) -> dict[str, str]:
    return {f"{side}City": city, f"{side}State": state, f"{side}Zip": zip_code, f"{side}Country": "US"}
