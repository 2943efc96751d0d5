"""What Deepgram says when it does not want to, as our one error (https://developers.deepgram.com/docs/errors).

Its texts may repeat what it was sent: only status and code are taken over. aiohttp's errors carry our
headers, the key among them, so that none of them becomes a cause.
"""

import re
from typing import Final

import aiohttp

from callbot.runtime.errors import ProviderError

_CODE_OF_CLOSE: Final = re.compile(r"\b[A-Z]{3,5}-[0-9]{4}\b")
_CODE: Final = re.compile(r"[a-z0-9_.-]{1,64}")
_LONGEST_RETRY_AFTER_S: Final = 600.0
_WITHOUT_CREDIT: Final = frozenset({"asr_payment_required", "payment_required", "insufficient_funds"})
_REFUSED: Final = frozenset({"invalid_auth", "unauthorized", "insufficient_permissions", "forbidden"})
_BUSY: Final = frozenset({"too_many_requests", "rate_limit_exceeded"})
_OUR_FAULT: Final = frozenset({"bad_request", "unparsable_client_message", "invalid_query_parameter"})


def of_handshake(error: aiohttp.WSServerHandshakeError) -> ProviderError:
    message = f"HTTP {error.status}"
    match error.status:
        case 401 | 403:
            return ProviderError("refused", message, retryable=False)
        case 402:
            return ProviderError("out_of_quota", message, retryable=False)
        case 429:
            after_s = _retry_after_s(error.headers.get("Retry-After", "") if error.headers else "")
            return ProviderError("busy", message, retryable=True, retry_after_s=after_s)
        case status if 400 <= status < 500 and status != 408:
            return ProviderError("bad_request", message, retryable=False)
        case _:
            return ProviderError("unavailable", message, retryable=True)


def of_close(code: int | None, reason: str) -> ProviderError:
    """`1008 DATA-0000`: it cannot read our audio. `1011 NET-0001`: it has waited too long for audio."""
    found = _CODE_OF_CLOSE.search(reason)
    name = found.group().lower() if found else ""
    message = f"closed {code or ''} {name}".rstrip()
    if name.startswith("data-") or code in (1002, 1003, 1007, 1009):
        return ProviderError("bad_request", message, retryable=False)
    if code == 1008:
        return ProviderError("refused", message, retryable=False)
    return ProviderError("broken_off", message, retryable=True)


def of_message(code: str) -> ProviderError:
    """A message of the type Error, by its code."""
    name = code.lower()
    message = name if _CODE.fullmatch(name) else "error"
    if name in _WITHOUT_CREDIT:
        return ProviderError("out_of_quota", message, retryable=False)
    if name in _REFUSED:
        return ProviderError("refused", message, retryable=False)
    if name in _BUSY:
        return ProviderError("busy", message, retryable=True)
    if name in _OUR_FAULT:
        return ProviderError("bad_request", message, retryable=False)
    return ProviderError("unavailable", message, retryable=True)


def malformed(what: str) -> ProviderError:
    return ProviderError("malformed", what, retryable=True)


def lost(error: BaseException) -> ProviderError:
    return ProviderError("broken_off", type(error).__name__, retryable=True)


def _retry_after_s(header: str) -> float | None:
    """Seconds; a date is not read."""
    return min(float(header), _LONGEST_RETRY_AFTER_S) if header.isascii() and header.isdecimal() else None
