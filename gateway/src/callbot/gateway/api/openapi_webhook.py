"""What we ask of the customer's server: OpenAPI's `webhooks`."""

from typing import Any

from callbot.gateway.api.openapi_examples import PARAMETERS
from callbot.gateway.api.openapi_schemas import Refs
from callbot.schemas.webhook import WebhookAnswer, WebhookRequest

Json = dict[str, Any]
_CALL_ID = PARAMETERS["call_id"][1]
_BOT_ID = PARAMETERS["bot_id"][1]


def webhooks(refs: Refs) -> dict[str, Json]:
    """What we ask of the customer's server: OpenAPI's own place for it."""
    request: Json = {
        "bot_id": _BOT_ID,
        "user_text": "Table for 4 at 7PM",
        "llm_suggestion": "Ask for name and phone",
        "history": [{"role": "user", "content": "Hi"}, {"role": "bot", "content": "Hello! How can I help?"}],
        "timestamp": "2026-04-05T10:05:00Z",
        "call_id": _CALL_ID,
        "turn_id": f"{_CALL_ID}.1",
        "from": "+14155550100",
        "to": "+14155551234",
        "language": "en-US",
    }
    answer = {"say": "Got it! Name please?", "action": "continue"}
    operation = {
        "operationId": "caller_said",
        "tags": ["Bots"],
        "summary": "The caller has said something; what does the bot say?",
        "description": (
            "Sent to the bot's `webhook`, once for each thing that the caller says. Answer within 3 seconds, "
            "with at most 64 KB. Else the caller hears the language model's suggestion. Redirects are not "
            "followed."
        ),
        "security": [],
        "parameters": [
            _header(
                "X-Callbot-Signature", "`t=…,v1=…`: HMAC-SHA256 of `t.body` with the bot's secret, in hex."
            ),
            _header("Idempotency-Key", "The turn's id; the same when the same turn is sent again."),
        ],
        "requestBody": _json(refs[WebhookRequest, "serialization"], request),
        "responses": {
            "200": {"description": "What to say.", **_json(refs[WebhookAnswer, "validation"], answer)}
        },
    }
    return {"caller_said": {"post": operation}}


def _json(schema: Json, example: Json) -> Json:
    return {"content": {"application/json": {"schema": dict(schema), "example": example}}}


def _header(name: str, text: str) -> Json:
    return {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
