"""What OpenAI's package raises, as ProviderErrors (https://platform.openai.com/docs/guides/error-codes)."""

import httpx2
import openai

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import (
    broken_off,
    malformed,
    refusal,
    unreachable,
    vendor_code,
)

RAISED = (openai.OpenAIError, httpx2.HTTPError, ValueError)
"""Of a request: ValueError for what is not JSON."""
_CONTENT = "content_filter"
"""Azure's code for a prompt that its filter stops."""


def provider_error(e: Exception, *, begun: bool) -> ProviderError:
    """`begun`: the server had accepted the request. None of the server's text is in it."""
    if isinstance(e, openai.APIStatusError):
        return _refused(e)
    if isinstance(e, openai.APIConnectionError):
        return broken_off(e) if begun else unreachable(e)
    if isinstance(e, openai.APIError):
        # Told inside of the stream.
        code = vendor_code(e.code) or vendor_code(e.type)
        return ProviderError("broken_off", f"told in the stream {code}".strip(), retryable=True)
    if isinstance(e, httpx2.HTTPError):
        return broken_off(e)
    return malformed(type(e).__name__)


def _refused(e: openai.APIStatusError) -> ProviderError:
    code = vendor_code(e.code) or vendor_code(e.type)
    if e.status_code == 404:
        return ProviderError("unknown_model", f"HTTP 404 {code}".strip(), retryable=False)
    if e.status_code == 400 and code == _CONTENT:
        return ProviderError("content_refused", f"HTTP 400 {code}", retryable=False)
    return refusal(
        e.status_code,
        code,
        retry_after=e.response.headers.get("retry-after"),
        out_of_quota="insufficient_quota" in (e.code, e.type),
    )
