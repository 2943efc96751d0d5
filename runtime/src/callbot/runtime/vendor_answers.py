"""Vendors' refusals and silences as ProviderErrors, the same for all. Their own text is never kept."""

import asyncio
import email.utils
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from callbot.runtime.errors import ProviderError

_CODE: Final = re.compile(r"[a-z0-9_.-]{1,64}")
MAX_RETRY_AFTER_S: Final = 3600.0


def vendor_code(code: object) -> str:
    """A vendor's code where it looks like one, else empty: what it says may repeat a key or a text."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def retry_after_s(header: str | None) -> float | None:
    """Of `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). None: nothing usable."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds >= 0 else None


def refusal(
    status: int, code: object = "", *, retry_after: str | None = None, out_of_quota: bool = False
) -> ProviderError:
    """What a status of HTTP means. `code` is the vendor's own word for it, `retry_after` the header."""
    told = f"HTTP {status} {vendor_code(code)}".strip()
    if out_of_quota or status == 402:
        return ProviderError("out_of_quota", told, retryable=False)
    if status in (401, 403):
        return ProviderError("refused", told, retryable=False)
    if status == 429:
        return ProviderError("busy", told, retryable=True, retry_after_s=retry_after_s(retry_after))
    if status >= 500 or status == 408:
        return ProviderError("unavailable", told, retryable=True, retry_after_s=retry_after_s(retry_after))
    return ProviderError("bad_request", told, retryable=False)


def unreachable(error: BaseException) -> ProviderError:
    """No connection, or none any more before there was an answer."""
    return ProviderError("unavailable", type(error).__name__, retryable=True)


def broken_off(error: BaseException | None = None) -> ProviderError:
    why = type(error).__name__ if error else "it ended early"
    return ProviderError("broken_off", why, retryable=True)


def malformed(what: str) -> ProviderError:
    """`what`: our own words."""
    return ProviderError("malformed", what, retryable=True)


def wrong_audio(what: str) -> ProviderError:
    """`what`: our own words, or `vendor_code` of the vendor's."""
    return ProviderError("wrong_audio", what, retryable=False)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raises ProviderError `too_slow`. Around one await on a vendor, never around a `yield` of audio."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ProviderError("too_slow", f"nothing in {seconds} s", retryable=True) from None
