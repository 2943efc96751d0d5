"""What no row of the table says: TwiML, the media stream, live events, the customer's webhook."""

from typing import Any

from callbot.gateway.api.openapi_errors import codes_of_all, error_responses
from callbot.gateway.api.openapi_examples import PARAMETERS
from callbot.schemas.message import CALL_ID_PATTERN, TOKEN_PATTERN

Json = dict[str, Any]
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
FORM = "application/x-www-form-urlencoded"
_CALL_ID = PARAMETERS["call_id"][1]
_BOT_ID = PARAMETERS["bot_id"][1]

CONNECT = f"""{HEAD}<Response>
  <Connect action="https://api.callbot.studio/v1/voice/next?call={_CALL_ID}.c2lnbmF0dXJl">
    <Stream url="wss://api.callbot.studio/voice/stream/{_BOT_ID}">
      <Parameter name="token" value="eyJhbGciOi…"/>
    </Stream>
  </Connect>
</Response>"""
INVALID_BOT = "<Response><Say>Invalid bot</Say></Response>"
INVALID_CALL = "<Response><Say>Invalid call</Say></Response>"
BOT_NOT_FOUND = "<Response><Say>Bot not found</Say></Response>"
SPOKEN = f"{HEAD}<Response><Say>Bot not found</Say><Hangup/></Response>"
ALL_BUSY = f"{HEAD}<Response><Say>All lines are busy at the moment. Goodbye.</Say><Hangup/></Response>"
HANG_UP = f"{HEAD}<Response><Hangup/></Response>"
TRANSFER = f"""{HEAD}<Response>
  <Dial action="https://api.callbot.studio/v1/voice/next?call={_CALL_ID}.c2lnbmF0dXJl"
    callerId="+14155550100">+14155550199</Dial>
</Response>"""
NOT_THE_CALLERS = "Called by Twilio, not by you. "
MAYBE_CALL_ID = f"^({CALL_ID_PATTERN.strip('^$')})?$"
_TEXT: Json = {"type": "string"}
FORM_FIELDS: dict[str, tuple[str, Json]] = {
    "CallSid": ("The call.", {"type": "string", "pattern": MAYBE_CALL_ID, "examples": [_CALL_ID]}),
    "AccountSid": ("Whose call it is at Twilio.", _TEXT),
    "From": ("Who calls.", {**_TEXT, "examples": ["+14155550100"]}),
    "To": ("Who is called; names the bot where `bot_id` does not.", {**_TEXT, "examples": ["+14155551234"]}),
    "CallStatus": (
        "Anything but `in-progress` and `ringing`: the call is over.",
        {**_TEXT, "examples": ["ringing", "in-progress", "completed"]},
    ),
}
DIALED_FIELDS: dict[str, tuple[str, Json]] = {
    "DialCallStatus": (
        "What became of a transfer. Neither `completed` nor `answered`: the call goes on with the bot.",
        {**_TEXT, "examples": ["completed", "busy", "no-answer", "failed", "canceled"]},
    ),
}
FAILED_FIELDS: dict[str, tuple[str, Json]] = {
    # Whatever was wrong with it before: here the caller hears a sentence.
    "CallSid": ("The call.", {**_TEXT, "examples": [_CALL_ID]}),
    "ErrorCode": ("Twilio's number of what went wrong.", {**_TEXT, "examples": ["11200"]}),
    "ErrorUrl": (
        "The URL that failed.",
        {**_TEXT, "examples": ["https://api.callbot.studio/v1/voice?bot_id=bot_unknown"]},
    ),
}
BOT_PARAMETER: Json = {
    "name": "bot_id",
    "in": "query",
    "description": (
        "The bot that takes the call. Without it, the default bot of the number in `To`; an id that is not "
        f"`{TOKEN_PATTERN}` is answered with 400."
    ),
    "required": False,
    "schema": {"type": "string"},
    "example": _BOT_ID,
}
CALL_PARAMETER: Json = {
    "name": "call",
    "in": "query",
    "description": "The call with our signature, as the TwiML before named it.",
    "required": False,
    "schema": {"type": "string"},
}
SIGNATURE: Json = {
    "name": "X-Twilio-Signature",
    "in": "header",
    "description": "Over the configured public URL, with the auth token of the account that owns the number.",
    "required": False,
    "schema": {"type": "string"},
}


def voice_paths(*, is_open: bool) -> dict[str, Json]:
    paths = {
        "/voice": _both("voice", "A call comes in", _voice(), [BOT_PARAMETER], {}),
        "/voice/next": _both("voice_next", "The stream has ended", _next(), [CALL_PARAMETER], DIALED_FIELDS),
        "/voice/fallback": _both(
            "voice_fallback",
            "What Twilio says when a URL failed",
            _fallback(),
            [BOT_PARAMETER],
            FAILED_FIELDS,
        ),
        "/voice/status": _both("voice_status", "The call has ended", _status(), [], {}),
    }
    for path in paths.values():
        for operation in (path[method] for method in ("get", "post") if method in path):
            operation["responses"] |= error_responses(codes_of_all(is_open=is_open))
    return paths


def _xml(text: str, **examples: str) -> Json:
    shown = {name: {"value": example} for name, example in examples.items()}
    return {
        "description": text,
        "content": {"application/xml": {"schema": {"type": "string"}, "examples": shown}},
    }


def _and_json(response: Json, code: str) -> Json:
    """A form that cannot be read is refused before there is a call to speak to."""
    ((_, refused),) = error_responses([code]).items()
    content = refused.get("content") or {
        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}}
    }
    return {**response, "content": {**response["content"], **content}}


def _both(
    name: str,
    summary: str,
    answers: tuple[str, dict[str, Json]],
    query: list[Json],
    more: dict[str, tuple[str, Json]],
) -> Json:
    """POST with a form, and GET with the same fields in the query."""
    text, responses = answers
    fields = {**FORM_FIELDS, **more}
    properties = {n: {"description": told, **schema} for n, (told, schema) in fields.items()}
    form = {"schema": {"type": "object", "properties": properties}}
    in_query = [
        {"name": n, "in": "query", "required": False, "description": told, "schema": schema}
        for n, (told, schema) in fields.items()
    ]
    common = {"tags": ["Twilio"], "summary": summary, "description": NOT_THE_CALLERS + text, "security": []}
    return {
        "post": {
            "operationId": name,
            **common,
            "parameters": [*query, SIGNATURE],
            "requestBody": {"required": False, "content": {FORM: form}},
            "responses": {**responses, **error_responses(["too_large"])},
        },
        "get": {
            "operationId": f"{name}_get",
            **common,
            "summary": f"{summary} (GET, where the number is configured so)",
            "parameters": [*query, *in_query, SIGNATURE],
            "responses": dict(responses),
        },
    }


FORBIDDEN: Json = {"description": "The signature is missing or wrong. Nothing is said."}
BAD = _and_json(_xml("Not a request that Twilio makes.", invalid_call=INVALID_CALL), "invalid_request")


def _voice() -> tuple[str, dict[str, Json]]:
    text = (
        "Tells Twilio to connect the call to our media stream. A repeated request for the same account, bot "
        "and `CallSid` gets the same answer. Twilio does not play the body of a 4xx: it comes to "
        "`/voice/fallback`."
    )
    return text, {
        "200": _xml("TwiML: connect, or a sentence and the end.", connect=CONNECT, busy=ALL_BUSY),
        "400": _and_json(
            _xml("`bot_id` is malformed, or no number identifies a bot.", invalid_bot=INVALID_BOT),
            "invalid_request",
        ),
        "403": FORBIDDEN,
        "404": _xml("There is no such bot.", bot_not_found=BOT_NOT_FOUND),
    }


def _next() -> tuple[str, dict[str, Json]]:
    text = (
        "The call's state decides: hang up, transfer, or connect again: when a process of ours has died, and "
        "when nobody has taken the transfer."
    )
    spoken = {"hang_up": HANG_UP, "transfer": TRANSFER, "again": CONNECT}
    return text, {"200": _xml("TwiML.", **spoken), "400": BAD, "403": FORBIDDEN}


def _fallback() -> tuple[str, dict[str, Json]]:
    text = "Twilio does not play a 4xx answer; it comes here, and the caller hears the same sentence."
    return text, {"200": _xml("A sentence and the end.", bot_not_found=SPOKEN), "400": BAD, "403": FORBIDDEN}


def _status() -> tuple[str, dict[str, Json]]:
    text = "Closes the call's record where no stream could."
    return text, {
        "204": {"description": "Noted."},
        "400": BAD,
        "403": FORBIDDEN,
        **error_responses(["unavailable"]),
    }
