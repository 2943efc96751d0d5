"""Every error of the API as one JSON shape: `{"error": {code, message, details, request_id}}`."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from callbot.gateway.wrong_fields import WrongField, wrong_fields
from callbot.runtime.errors import BusError, Refused

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATUS_OF_REFUSAL = {
    "internal_error": 500,
    "invalid_request": 400,
    "invalid_bot": 400,
    "ambiguous_voice": 400,
    "twilio_auth_failed": 400,
    "unauthorized": 401,
    "invalid_credentials": 401,
    "bad_signature": 403,
    "bot_not_found": 404,
    "call_not_found": 404,
    "key_not_found": 404,
    "no_number": 404,
    "no_recording": 404,
    "number_not_found": 404,
    "webhook_timeout": 408,
    "conflict": 409,
    "call_live": 409,
    "sign_up_closed": 403,
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
RETRY_AFTER_S = {503: "1", 429: "60"}
"""Where the refusal does not know better (`retry_after_s`)."""
CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}
LIMIT_HEADERS = {
    "limit": "X-RateLimit-Limit",
    "remaining": "X-RateLimit-Remaining",
    "reset_s": "X-RateLimit-Reset",
    "retry_after_s": "Retry-After",
}
NUMBERS = {*LIMIT_HEADERS, "http_status", "took_ms"}
NEVER_KEPT = {"Cache-Control": "no-store"}
"""No cache keeps what belongs to one user, nor an answer that shows a key or token (RFC 9111, 5.2.2.5)."""


class ApiError(Exception):
    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = dict(headers or {})


def invalid(error: ValidationError) -> ApiError:
    """400, naming every field that is wrong, without repeating what was sent."""
    return _invalid(wrong_fields(error))


def wrong(field: str, message: str) -> ApiError:
    """400 for one field; `body`, the name of a parameter or of a header."""
    return _invalid([{"field": field, "message": message}])


def _invalid(fields: list[WrongField]) -> ApiError:
    told = "; ".join(f"{one['field']}: {one['message']}" for one in fields)
    return ApiError(400, "invalid_request", told, fields)


def refused(refusal: Refused) -> ApiError:
    """What the other side's no is in HTTP."""
    status = STATUS_OF_REFUSAL.get(refusal.code)
    if status is None:
        log.error("a refusal that the API does not know", extra={"code": refusal.code})
        return _our_fault()
    headers = limit_headers(refusal.details) if status in RETRY_AFTER_S else {}
    details: Any = {name: _detail(name, value) for name, value in refusal.details.items()}
    if status == 400:
        details = _of_a_field(refusal)
    return ApiError(status, refusal.code, refusal.message, details or None, headers)


def _of_a_field(refusal: Refused) -> list[WrongField]:
    """What a validator of the gateway's would have said."""
    field = refusal.details.get("field")
    if not field:
        return []
    told = WrongField(field=field, message=refusal.message.removeprefix(f"{field}: "))
    if candidates := refusal.details.get("candidates"):
        told["candidates"] = candidates.split()
    return [told]


def limit_headers(limit: Mapping[str, Any]) -> dict[str, str]:
    """`X-RateLimit-*` and `Retry-After` (RFC 9110, section 10.2.3), as far as they are known, in seconds."""
    return {
        header: told for name, header in LIMIT_HEADERS.items() if (told := str(limit.get(name))).isdecimal()
    }


def _detail(name: str, value: str) -> int | float | str:
    """Details travel as text."""
    if name not in NUMBERS:
        return value
    try:
        return int(value) if value.isdecimal() else float(value)
    except ValueError:
        return value


REQUEST_ID = web.RequestKey("request_id", str)


def request_id(request: web.Request) -> str:
    known = request.get(REQUEST_ID)
    if known is None:
        known = request[REQUEST_ID] = f"req_{secrets.token_hex(8)}"
    return known


async def mark_response(request: web.Request, response: web.StreamResponse) -> None:
    mark_headers(request, response)


def mark_headers(request: web.Request, response: web.StreamResponse) -> None:
    """On every answer, whatever it is."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("X-Request-Id", request_id(request))
    # aiohttp would tell its version and Python's.
    response.headers["Server"] = "callbot"


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as e:
        error = e
    except Refused as e:
        error = refused(e)
    except BusError as e:
        log.error("the platform does not answer", extra={"path": request.path, "reason": str(e)})
        error = ApiError(503, "unavailable", "This part of the service is away. Please try again.")
    except web.HTTPMethodNotAllowed as e:
        allowed = {"Allow": ", ".join(sorted({*e.allowed_methods, "OPTIONS"}))}
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=allowed)
        error = ApiError(405, CODES[405], f"Not allowed here: only {allowed['Allow']}.", headers=allowed)
    except web.HTTPNotFound:
        error = ApiError(404, CODES[404], await _nothing_there(request))
    except web.HTTPException as e:
        if e.status < 400:
            raise
        error = ApiError(e.status, CODES.get(e.status, "invalid_request"), e.reason)
    except Exception:
        log.exception("a request failed", extra={"path": request.path, "request_id": request_id(request)})
        error = _our_fault()
    return as_json(request, error)


async def _nothing_there(request: web.Request) -> str:
    """A slash at the end is a frequent mistake, and nothing is redirected: a POST would become a GET."""
    bare = request.rel_url.raw_path.rstrip("/")
    if bare and bare != request.rel_url.raw_path:
        without = request.clone(rel_url=URL.build(path=bare, encoded=True))
        found = (await request.app.router.resolve(without)).http_exception
        if found is None or isinstance(found, web.HTTPMethodNotAllowed):
            return f"There is no such path. Without the slash at its end there is: {bare}"
    return "There is no such path. /docs shows those that there are."


async def expectation(request: web.Request) -> web.StreamResponse | None:
    """`Expect`: anything but 100-continue is refused (RFC 9110, 10.1.1). Comes before the middlewares."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        return as_json(request, ApiError(417, "invalid_request", "Only 100-continue can be expected."))
    if request.version == (1, 1) and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None


def _our_fault() -> ApiError:
    return ApiError(500, "internal_error", "Something went wrong on our side.")


def as_json(request: web.Request, error: ApiError) -> web.Response:
    body = {
        "error": {
            "code": error.code,
            "message": error.message,
            "details": [] if error.status == 400 and error.details is None else error.details,
            "request_id": request_id(request),
        }
    }
    if error.status >= 500:
        # Whoever reports a request id must be found by it.
        facts = {"request_id": request_id(request), "method": request.method, "path": request.path}
        log.warning("answered with an error", extra={**facts, "status": error.status, "code": error.code})
    headers = {**NEVER_KEPT, **error.headers}
    if error.status in RETRY_AFTER_S:
        headers.setdefault("Retry-After", RETRY_AFTER_S[error.status])
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    response = json_answer(body, status=error.status, headers=headers)
    if error.code == "request_timeout":
        response.force_close()
    return response


def json_answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )
