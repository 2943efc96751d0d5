"""Every error of the API as one JSON shape: `{"error": {code, message, details, request_id}}`."""

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from callbot.runtime.errors import BusError, Refused

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATUS_OF_REFUSAL = {
    "internal_error": 500,
    "invalid_request": 400,
    "invalid_bot": 400,
    "twilio_auth_failed": 400,
    "unauthorized": 401,
    "invalid_credentials": 401,
    "bad_signature": 403,
    "bot_not_found": 404,
    "call_not_found": 404,
    "key_not_found": 404,
    "no_number": 404,
    "number_not_found": 404,
    "webhook_timeout": 408,
    "conflict": 409,
    "call_live": 409,
    "email_taken": 409,
    "number_taken": 409,
    "precondition_failed": 412,
    "bot_limit": 429,
    "key_limit": 429,
    "rate_limited": 429,
    "webhook_rate_limited": 429,
    "webhook_invalid": 502,
    "no_number_available": 503,
    "twilio_unavailable": 503,
    "unavailable": 503,
}
RETRY_AFTER_S = "1"
MOST_FIELDS = 20
CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


class ApiError(Exception):
    def __init__(self, status: int, code: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details


def invalid(error: ValidationError) -> ApiError:
    """400, naming every field that is wrong, without repeating what was sent."""
    wrong = [
        {"field": ".".join(map(str, e["loc"])) or "body", "message": e["msg"].removeprefix("Value error, ")}
        for e in error.errors(include_input=False, include_url=False, include_context=False)[:MOST_FIELDS]
    ]
    told = "; ".join(f"{w['field']}: {w['message']}" for w in wrong)
    return ApiError(400, "invalid_request", told, wrong)


def request_id(request: web.Request) -> str:
    known: str | None = request.get("request_id")
    if known is None:
        known = request["request_id"] = f"req_{secrets.token_hex(8)}"
    return known


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    headers: dict[str, str] = {}
    try:
        return await handler(request)
    except ApiError as e:
        error = e
    except Refused as e:
        details = e.details or None
        error = ApiError(STATUS_OF_REFUSAL.get(e.code, 500), e.code, e.message, details)
    except BusError as e:
        log.error("the platform does not answer", extra={"path": request.path, "reason": str(e)})
        error = ApiError(503, "unavailable", "This part of the service is away. Please try again.")
    except web.HTTPException as e:
        if e.status < 400:
            raise
        headers = {"Allow": e.headers["Allow"]} if "Allow" in e.headers else {}
        error = ApiError(e.status, CODES.get(e.status, "invalid_request"), e.reason)
    except Exception:
        log.exception("a request failed", extra={"path": request.path, "request_id": request_id(request)})
        error = ApiError(500, "internal_error", "Something went wrong on our side.")
    if error.status == 503:
        headers["Retry-After"] = RETRY_AFTER_S
    return _as_json(error, request_id(request), headers)


def _as_json(error: ApiError, number: str, headers: dict[str, str]) -> web.Response:
    body = {
        "error": {
            "code": error.code,
            "message": error.message,
            "details": error.details,
            "request_id": number,
        }
    }
    return web.json_response(body, status=error.status, headers=headers)
