"""What Polly refuses, as ProviderErrors.

https://docs.aws.amazon.com/polly/latest/dg/API_SynthesizeSpeech.html#API_SynthesizeSpeech_Errors,
https://docs.aws.amazon.com/polly/latest/dg/CommonErrors.html
"""

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import refusal, retry_after_s, vendor_code

SIGNATURES_LAST: Final = timedelta(minutes=5)
_SIGNATURE: Final = ("InvalidSignature", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed")
_BUSY: Final = ("Throttling", "ThrottledException", "TooManyRequests", "RequestThrottled", "SlowDown")
_OUT_OF_QUOTA: Final = ("ServiceQuotaExceeded", "LimitExceeded", "OptInRequired")
_REFUSED: Final = (
    "UnrecognizedClient",
    "AccessDenied",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "NotAuthorized",
)


def error_of(status: int, headers: Mapping[str, str], body: bytes, *, signed_at: datetime) -> ProviderError:
    """Of an answer that is no audio. Its text is looked at, and never kept."""
    kind = headers.get("x-amzn-ErrorType", "").partition(":")[0].rpartition("#")[2]
    told = f"HTTP {status} {vendor_code(kind.lower())}".strip()
    if kind.startswith(_SIGNATURE) and (off := clock_is_off(headers, signed_at)):
        # The next request is signed by their clock.
        told = f"{told}: this machine's clock is {round(off.total_seconds())} s behind"
        return ProviderError("clock_is_off", told, retryable=True)
    if kind.startswith((*_SIGNATURE, *_REFUSED)):
        return ProviderError("refused", told, retryable=False)
    if kind.startswith(_BUSY):
        wait_s = retry_after_s(headers.get("Retry-After"))
        return ProviderError("busy", told, retryable=True, retry_after_s=wait_s)
    if kind.startswith("Validation") and b"voiceid" in body.lower():
        return ProviderError("unknown_voice", told, retryable=False)
    return refusal(
        status,
        kind.lower(),
        retry_after=headers.get("Retry-After"),
        out_of_quota=kind.startswith(_OUT_OF_QUOTA),
    )


def clock_is_off(headers: Mapping[str, str], at: datetime) -> timedelta | None:
    """How far ours is behind the vendor's, where that is too far for a signature. None: it is not."""
    try:
        theirs = email.utils.parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return None
    off = theirs.replace(tzinfo=theirs.tzinfo or UTC) - at
    # A signature may also be too old when it arrives: a minute is left for its way.
    return off if abs(off) > SIGNATURES_LAST - timedelta(minutes=1) else None
