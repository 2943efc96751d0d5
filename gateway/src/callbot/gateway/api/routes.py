"""The REST API on one screen: each route, the question it asks, what it takes and gives.

The handlers (`handling.py`) and the OpenAPI document (`openapi.py`) are made from this table.
"""

from dataclasses import dataclass
from typing import Any

from callbot.schemas import subjects as ask
from callbot.schemas.bots import BotDefinition, BotPatch, TestWebhookBody
from callbot.schemas.message import Message
from callbot.schemas.numbers import ConnectTwilioBody
from callbot.schemas.subjects import Question
from callbot.schemas.users import ApiKeyBody, MePatch, SignUpBody, TokenBody

ROUTER_WITHIN_S = 1.8
"""The client has its 503 within two seconds, whatever hangs."""
TWILIO_WITHIN_S = 12.0
"""Twilio's REST API is asked before the answer."""
WEBHOOK_WITHIN_S = 6.0
ERASE_WITHIN_S = 6.0
"""An hour of recording is hundreds of pieces."""


@dataclass(frozen=True)
class Route:
    """One operation. Path parameters and `query` are fields of the question; so is the body (`body[0]`)."""

    method: str
    path: str
    row: Question[Any, Any]
    tag: str
    summary: str
    body: tuple[str, type[Message]] | None = None
    body_may_miss: bool = False
    query: tuple[str, ...] = ()
    lists: str = ""
    """The answer is a page: this field of it is the body, a plain list; the next page is in `Link`."""
    etag: str = ""
    """The answer's field that is its `ETag`."""
    if_match: str = ""
    """The question's field that takes the version of `If-Match`."""
    status: int = 200
    refusals: tuple[str, ...] = ()
    """Beyond those that every route may give."""
    public: bool = False
    """True: nobody has to say who they are; attempts are counted by address."""
    within_s: float = ROUTER_WITHIN_S


PAGE = ("limit", "cursor")

# fmt: off
# ruff: noqa: E501
ROUTES: tuple[Route, ...] = (
    Route("POST",   "/auth/signup",  ask.USER_SIGN_UP, "Users", "Sign up", ("body", SignUpBody), status=201, refusals=("sign_up_closed", "email_taken", "rate_limited"), public=True),
    Route("POST",   "/auth/token",   ask.USER_TOKEN,   "Users", "Get an access token", ("body", TokenBody), refusals=("invalid_credentials", "rate_limited"), public=True),
    Route("GET",    "/me",           ask.USER_GET,     "Users", "Who you are"),
    Route("PATCH",  "/me",           ask.USER_UPDATE,  "Users", "Change your time zone", ("changes", MePatch)),
    Route("POST",   "/api-keys",     ask.KEY_CREATE,   "Users", "Make an API key", ("body", ApiKeyBody), status=201, refusals=("key_limit",)),
    Route("GET",    "/api-keys",     ask.KEY_LIST,     "Users", "List your API keys", lists="api_keys"),
    Route("DELETE", "/api-keys/{key_id}", ask.KEY_DELETE, "Users", "Delete an API key", refusals=("key_not_found",)),

    Route("POST",   "/connect-twilio", ask.NUMBER_CONNECT, "Numbers", "Connect your Twilio number", ("body", ConnectTwilioBody), refusals=("twilio_auth_failed", "number_not_found", "number_taken", "conflict", "twilio_unavailable"), within_s=TWILIO_WITHIN_S),
    Route("GET",    "/my-number",    ask.NUMBER_GET,   "Numbers", "Your connected number", refusals=("no_number",)),
    Route("DELETE", "/my-number",    ask.NUMBER_DISCONNECT, "Numbers", "Disconnect your number", refusals=("no_number", "conflict", "twilio_unavailable"), within_s=TWILIO_WITHIN_S),

    Route("POST",   "/bots",         ask.BOT_CREATE,   "Bots", "Create a bot", ("definition", BotDefinition), etag="version", refusals=("ambiguous_voice", "bot_limit", "twilio_unavailable", "no_number_available"), within_s=TWILIO_WITHIN_S),
    Route("GET",    "/bots",         ask.BOT_LIST,     "Bots", "List your bots", query=PAGE, lists="bots"),
    Route("GET",    "/bots/{bot_id}", ask.BOT_GET,     "Bots", "A bot", etag="version", refusals=("bot_not_found",)),
    Route("PATCH",  "/bots/{bot_id}", ask.BOT_UPDATE,  "Bots", "Change a bot", ("changes", BotPatch), etag="version", if_match="if_version", refusals=("ambiguous_voice", "bot_not_found", "precondition_failed")),
    Route("DELETE", "/bots/{bot_id}", ask.BOT_DELETE,  "Bots", "Delete a bot and release its number", refusals=("bot_not_found",), within_s=TWILIO_WITHIN_S),
    Route("POST",   "/bots/{bot_id}/test-webhook", ask.BOT_TEST, "Bots", "Send a sample request to the webhook", ("body", TestWebhookBody), body_may_miss=True, refusals=("bot_not_found", "webhook_timeout", "webhook_invalid", "webhook_rate_limited"), within_s=WEBHOOK_WITHIN_S),
    Route("GET",    "/voices",       ask.VOICE_LIST,   "Bots", "Voices that work here", query=("provider", "language"), lists="voices"),

    Route("GET",    "/calls",        ask.CALL_LIST,    "Calls", "List your calls, newest first", query=("bot_id", *PAGE), lists="calls"),
    Route("GET",    "/calls/{call_id}", ask.CALL_GET,  "Calls", "A call with every turn", refusals=("call_not_found",)),
    Route("DELETE", "/calls/{call_id}", ask.CALL_DELETE, "Calls", "Erase a call", refusals=("call_not_found", "call_live"), within_s=ERASE_WITHIN_S),
)
"""Each exists under `/v1` and, as in the first document, without a prefix."""
# fmt: on
