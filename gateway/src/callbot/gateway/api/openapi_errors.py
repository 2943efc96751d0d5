"""The error answers of the document: one schema, and each code with the sentence that explains it."""

from collections.abc import Iterable
from typing import Any

from callbot.gateway.errors import CODES, STATUS_OF_REFUSAL
from callbot.gateway.wrong_fields import NOT_KNOWN
from callbot.schemas.users import UNAUTHORIZED

Json = dict[str, Any]

MEANINGS = {
    "ambiguous_voice": "Several voices of the provider have this name; `details` lists them.",
    "bad_signature": "The request is not Twilio's, or was changed on its way.",
    "bot_limit": "The user has as many bots as are allowed.",
    "bot_not_found": "There is no such bot, or it is another user's.",
    "call_live": "The call still goes on.",
    "call_not_found": "There is no such call, or it is another user's.",
    "conflict": "It contradicts what is known already.",
    "sign_up_closed": "The operator takes no new users.",
    "email_taken": "Somebody has signed up with this address.",
    "internal_error": "Something went wrong on our side.",
    "invalid_bot": "No bot is named, and the number belongs to none.",
    "invalid_credentials": "The address or the password is wrong.",
    "invalid_request": "The request is not valid; `details` names the fields.",
    "key_limit": "The user has as many API keys as are allowed.",
    "key_not_found": "There is no such API key, or it is another user's.",
    "method_not_allowed": "The path exists, with other methods: see `Allow`.",
    "misdirected_request": "Without authentication only pages of the same machine may ask.",
    "no_number": "No Twilio number is connected.",
    "no_recording": "The call was not recorded, or its recording is no longer kept.",
    "no_number_available": "Twilio has no number to sell at the moment.",
    "not_found": "There is no such path.",
    "number_not_found": "The Twilio account has no such number.",
    "number_taken": "Another user has connected this number.",
    "precondition_failed": "The bot has changed since: its version is not the one in `If-Match`.",
    "rate_limited": "Too many requests; `Retry-After` says when to come back.",
    "request_timeout": "The body did not arrive in time.",
    "too_large": "The body is larger than 128 KiB.",
    "twilio_auth_failed": "Twilio does not accept these credentials.",
    "twilio_unavailable": "Twilio is out of reach, or refused.",
    "unauthorized": UNAUTHORIZED,
    "unavailable": "A part of the service is away; `Retry-After` says when to come back.",
    "unsupported_media_type": "The body is not of the documented type.",
    "webhook_invalid": "The webhook's answer is of no use; `details` says why.",
    "webhook_rate_limited": "As many webhook calls a second as the user may make.",
    "webhook_timeout": "The webhook did not answer within 3 seconds.",
}
STATUS_OF = {
    **STATUS_OF_REFUSAL,
    **{code: status for status, code in CODES.items()},
    "misdirected_request": 421,
    "request_timeout": 408,
}
TITLES = {
    400: "The request is not valid",
    401: "Nobody, or nobody we know",
    403: "Not Twilio's request",
    404: "Not found",
    408: "Too slow",
    409: "In conflict with what there is",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Not JSON",
    421: "Not this host",
    429: "Too many",
    500: "Our fault",
    502: "The webhook's fault",
    503: "Away at the moment",
}
SHARED = {
    "Unauthorized": ("unauthorized",),
    "TooLarge": ("too_large",),
    "UnsupportedMediaType": ("unsupported_media_type",),
    "Misdirected": ("misdirected_request",),
    "InternalError": ("internal_error",),
    "RequestTimeout": ("request_timeout",),
    "Unavailable": ("unavailable",),
    "InvalidRequest": ("invalid_request",),
}
"""Answers that many operations have in common, by their name in `components/responses`."""
_NAME_OF: dict[tuple[str, ...], str] = {codes: name for name, codes in SHARED.items()}

HEADERS: Json = {
    "X-Request-Id": {
        "description": "Names this request; please quote it in questions.",
        "required": True,
        "schema": {"type": "string", "examples": ["req_5f2a9c81d3e07b46"]},
    },
    "Retry-After": {
        "description": "Seconds after which a further try makes sense.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0, "examples": [60]},
    },
    "X-RateLimit-Limit": {
        "description": "How many are allowed.",
        "schema": {"type": "integer", "minimum": 0, "examples": [10]},
    },
    "X-RateLimit-Remaining": {
        "description": "How many are left.",
        "schema": {"type": "integer", "minimum": 0, "examples": [7]},
    },
    "X-RateLimit-Reset": {
        "description": "Seconds until the count begins anew.",
        "schema": {"type": "integer", "minimum": 0, "examples": [900]},
    },
    "WWW-Authenticate": {
        "description": "How to show who you are.",
        "required": True,
        "schema": {"type": "string", "examples": ["Bearer"]},
    },
    "ETag": {
        "description": "The bot's version; for `If-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$', "examples": ['"3"']},
    },
    "Link": {
        "description": 'The next page, `rel="next"` (RFC 8288). Absent on the last one.',
        "schema": {"type": "string", "examples": ['</v1/bots?cursor=eyJ&limit=50>; rel="next"']},
    },
}
DETAILS = (
    "What else there is to say, depending on the code; null where nothing. Of a 400 always a list, "
    "with `field` and `message` of everything that is wrong; the field is `body`, a name in it, or that of a "
    "parameter or header. An `ambiguous_voice` has `candidates`, too: what may be sent instead."
)
RATE_LIMIT = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def codes_of_all(*, is_open: bool) -> set[str]:
    """What any operation may answer."""
    return {"internal_error", *(["misdirected_request"] if is_open else [])}


def header_refs(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def error_schema() -> Json:
    """Every error has this shape."""
    fields: Json = {
        "code": {"type": "string", "enum": sorted(MEANINGS), "description": "For programs; stays as it is."},
        "message": {"type": "string", "description": "For people; may change."},
        "details": {"description": DETAILS},
        "request_id": {"type": "string", "description": "The same as the header `X-Request-Id`."},
    }
    inner = {"type": "object", "properties": fields, "required": list(fields)}
    return {
        "type": "object",
        "description": "Every error has this shape.",
        "properties": {"error": inner},
        "required": ["error"],
    }


def error_responses(codes: Iterable[str]) -> dict[str, Json]:
    """Status → answer, for all that may go wrong with one operation."""
    by_status: dict[int, set[str]] = {}
    for code in codes:
        by_status.setdefault(STATUS_OF[code], set()).add(code)
    return {str(status): _reference(tuple(sorted(by_status[status]))) for status in sorted(by_status)}


def shared_responses(*, is_open: bool) -> Json:
    used = {name: codes for name, codes in SHARED.items() if is_open or name != "Misdirected"}
    return {name: _response(codes) for name, codes in used.items()}


def _reference(codes: tuple[str, ...]) -> Json:
    if name := _NAME_OF.get(codes):
        return {"$ref": f"#/components/responses/{name}"}
    return _response(codes)


def _response(codes: tuple[str, ...]) -> Json:
    status = STATUS_OF[codes[0]]
    told = "; ".join(f"`{code}`: {MEANINGS[code].removesuffix('.')}" for code in codes)
    return {
        "description": f"{TITLES[status]}. {told}.",
        "headers": header_refs(*_headers_of(status)),
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "examples": {code: {"value": _example(code)} for code in codes},
            }
        },
    }


def _headers_of(status: int) -> tuple[str, ...]:
    if status == 429:
        return ("Retry-After", *RATE_LIMIT)
    return {401: ("WWW-Authenticate",), 503: ("Retry-After",)}.get(status, ())


_CANDIDATES = ["elevenlabs:21m00Tcm4TlvDq8ikWAM", "elevenlabs:EXAVITQu4vr4xnSDxMaL"]


def _example(code: str) -> Json:
    details: Any = None
    if code == "invalid_request":
        details = [
            {"field": "goal", "message": "String should have at least 1 character"},
            {"field": "gaol", "message": NOT_KNOWN},
        ]
    if code == "ambiguous_voice":
        message = f"2 voices of elevenlabs have this name: set one of {' '.join(_CANDIDATES)}"
        details = [{"field": "voice", "message": message, "candidates": _CANDIDATES}]
    if code == "twilio_auth_failed":
        details = [{"field": "auth_token", "message": MEANINGS[code]}]
    if code == "webhook_invalid":
        details = {
            "status": "webhook_bad_status",
            "detail": "HTTP 500",
            "http_status": 500,
            "took_ms": 81.4,
        }
    message = MEANINGS[code].replace("; `details` names the fields", "")
    error = {"code": code, "message": message, "details": details, "request_id": "req_5f2a9c81d3e07b46"}
    return {"error": error}
