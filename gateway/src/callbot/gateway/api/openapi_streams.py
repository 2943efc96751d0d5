"""What is no JSON: the media stream of a call, its live events, its recording."""

from typing import Any

from callbot.gateway.api.openapi_errors import codes_of_all, error_responses, header_refs
from callbot.gateway.api.openapi_examples import PARAMETERS
from callbot.gateway.api.openapi_schemas import Refs
from callbot.schemas.calls import CallEnded, CallStarted, StageFallback, TurnDone
from callbot.schemas.message import CALL_ID_PATTERN, TOKEN_PATTERN

Json = dict[str, Any]
SHOWN = (CallStarted, TurnDone, StageFallback, CallEnded)
"""The facts of a call that viewers see."""
EVENT_EXAMPLE = {
    "id": "131",
    "event": "ended",
    "data": '{"kind":"ended","reason":"caller_hung_up","duration_ms":72000,"at":"2026-04-05T10:06:12Z"}',
}
STREAM_TEXT = """\
Twilio's media stream: JSON text messages as Twilio documents them, audio as µ-law, 8,000 Hz, base64.

From Twilio: `connected`, `start` (with the `token` of the TwiML in `customParameters`), `media`, `dtmf`,
`mark`, `stop`.
To Twilio: `media`, `mark`, `clear`. Closing the socket ends the stream; then Twilio comes to `/voice/next`.

The token is bound to the call and short-lived: a stream without it is closed with code 1008 after `start`.
"""


def stream_paths(refs: Refs, *, is_open: bool) -> dict[str, Json]:
    paths: dict[str, Json] = {
        "/voice/stream/{bot_id}": {"get": _stream("voice_stream")},
        "/stream/{bot_id}": {
            "servers": [{"url": "/", "description": "Only without prefix, as in the first document"}],
            "get": _stream("stream"),
        },
        "/calls/{call_id}/events": {"get": _events(refs)},
        "/calls/{call_id}/recording": {"get": _recording()},
    }
    for path in paths.values():
        path["get"]["responses"] |= error_responses(codes_of_all(is_open=is_open))
    return paths


def _path(name: str, pattern: str) -> Json:
    text, example = PARAMETERS[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": text,
        "schema": {"type": "string", "pattern": pattern},
        "example": example,
    }


def _stream(name: str) -> Json:
    return {
        "operationId": name,
        "tags": ["Twilio"],
        "summary": "The media stream of a call (WebSocket)",
        "description": STREAM_TEXT,
        "security": [],
        "parameters": [_path("bot_id", TOKEN_PATTERN)],
        "responses": {
            "101": {"description": "The WebSocket is open (RFC 6455)."},
            **error_responses(["invalid_request"]),
        },
    }


def _event(refs: Refs) -> Json:
    """One event, as its lines say it: `id: …`, `event: …`, `data: …`."""
    fact = {
        "oneOf": [dict(refs[model, "serialization"]) for model in SHOWN],
        "properties": {"at": {"type": "string", "format": "date-time"}},
        "required": ["at"],
    }
    kinds = [model.model_fields["kind"].default for model in SHOWN]
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": fact}
    lines = {"id": {"type": "string"}, "event": {"type": "string", "enum": kinds}, "data": data}
    text = "Each event of the stream; `data` is JSON."
    return {"type": "object", "description": text, "properties": lines, "required": list(lines)}


def _events(refs: Refs) -> Json:
    content = {"text/event-stream": {"schema": _event(refs), "example": EVENT_EXAMPLE}}
    last_seen = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "Goes on after this event; browsers send it by themselves.",
        "schema": {"type": "string", "pattern": "^[0-9]{0,18}$", "examples": ["118"]},
    }
    codes = ("invalid_request", "unauthorized", "call_not_found", "unavailable")
    return {
        "operationId": "call_events",
        "tags": ["Calls"],
        "summary": "Follow a call as it goes on (server-sent events)",
        "description": (
            "`started`, `turn`, `fallback` and `ended`, from the beginning of the call; the stream ends "
            "after `ended`. A comment comes every 15 seconds, so that nothing in between closes a quiet one."
        ),
        "parameters": [_path("call_id", CALL_ID_PATTERN), last_seen],
        "responses": {
            "200": {"description": "Events (HTML standard, server-sent events).", "content": content},
            "204": {"description": "The call has ended, and all its events were shown."},
            **error_responses(codes),
        },
    }


def _recording() -> Json:
    content = {"audio/wav": {"schema": {"type": "string", "contentMediaType": "audio/wav"}}}
    headers: Json = {
        "Content-Length": {
            "description": "As long as the call: 16,000 bytes a second, and a header of 58 bytes.",
            "schema": {"type": "integer", "minimum": 58},
        },
        "Content-Disposition": {
            "description": "A name for the file.",
            "schema": {"type": "string", "examples": ['attachment; filename="CA5ef8….wav"']},
        },
    }
    codes = ("unauthorized", "call_not_found", "no_recording", "call_live", "unavailable")
    return {
        "operationId": "call_recording",
        "tags": ["Calls"],
        "summary": "The recording of a call (WAV)",
        "description": (
            "Of bots with `record`: two channels of µ-law (format 7), 8,000 Hz, the caller left, what they "
            "heard of the bot right, on one clock. There once the call has ended (409 before); 503 with "
            "`Retry-After` while its last seconds are being stored. What was lost on the way is silence. "
            "Kept for as long as the operator has set, or until the call is erased."
        ),
        "parameters": [_path("call_id", CALL_ID_PATTERN)],
        "responses": {
            "200": {
                "description": "A WAV file; a connection that ends before its length was broken off.",
                "headers": {**header_refs(), **headers},
                "content": content,
            },
            **error_responses(codes),
        },
    }
