"""The order in which the Postman collection goes through the API, and what it keeps from each answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One request. `{{name}}` is a variable of the collection."""

    operation: str
    title: str = ""
    """Default: the operation's summary."""
    expect: tuple[int, ...] = (200,)
    body: Any = None
    """Instead of the document's example; a form where the operation takes one."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    saves: Mapping[str, str] = field(default_factory=dict)
    """Variable → field of the answer."""
    says: str = ""
    """What the body must contain."""
    needs: str = ""
    """Skipped, and said so, while this variable is empty."""
    again_after: int = 0
    """This status is only for the moment: asked again, 20 times at most."""


VARIABLES: dict[str, str] = {
    "base": "http://127.0.0.1:8080",
    "email": "",
    "password": "correct horse battery",
    "webhook": "https://api.eatery.com/bot",
    "unsigned_calls": "yes",
    "twilio_account_sid": "",
    "twilio_auth_token": "",
    "twilio_phone_number_sid": "",
    "token": "",
    "api_key": "",
    "key_id": "",
    "bot_id": "",
    "version": "",
    "call_id": "",
}
VARIABLE_TEXTS = {
    "base": "Where the platform is.",
    "email": "Empty: a new address is made up, and signed up.",
    "webhook": "Your server; `Send a sample request` asks it.",
    "unsigned_calls": "Empty where Twilio's signature is demanded (everywhere but on your own machine).",
    "twilio_account_sid": "With your own, or the emulator's, the number requests run too.",
}
_BOT = {
    "goal": "Take restaurant reservations",
    "webhook": "{{webhook}}",
    "context": "Open 5PM–10PM. Tables for 2,4,6. No pets.",
    "voice": "elevenlabs:emma",
}
_ACCOUNT = {"email": "{{email}}", "password": "{{password}}"}
_TWILIO = {
    "account_sid": "{{twilio_account_sid}}",
    "auth_token": "{{twilio_auth_token}}",
    "phone_number_sid": "{{twilio_phone_number_sid}}",
}
_CALL = {"CallSid": "{{call_id}}", "From": "+14155550100", "To": "+14155551234", "CallStatus": "ringing"}
_UNSIGNED = "unsigned_calls"
_CONNECTED = "twilio_account_sid"

STEPS: dict[str, tuple[Step, ...]] = {
    "Users": (
        Step("user_sign_up", expect=(201,), body=_ACCOUNT),
        Step("user_sign_up", "Sign up again: taken", expect=(409,), body=_ACCOUNT),
        Step("user_token", body=_ACCOUNT, saves={"token": "access_token"}),
        Step("user_get"),
        Step("user_update"),
        Step("key_create", expect=(201,), saves={"key_id": "id", "api_key": "key"}),
        Step("key_list"),
        Step("user_get", "Who you are, by API key", headers={"X-API-Key": "{{api_key}}"}),
        Step("user_get", "Nobody: a wrong key", expect=(401,), headers={"X-API-Key": "cbk_wrong"}),
    ),
    "Bots": (
        Step("voice_list"),
        Step("bot_create", body=_BOT, saves={"bot_id": "id"}),
        Step("bot_create", "Create a bot: a goal is missing", expect=(400,), body={"webhook": "{{webhook}}"}),
        Step("bot_list", query={"limit": "50"}),
        Step("bot_get", saves={"version": "version"}),
        Step("bot_update", headers={"If-Match": '"{{version}}"'}),
        Step("bot_update", "Change a bot: too late", expect=(412,), headers={"If-Match": '"{{version}}"'}),
        Step("bot_test", expect=(200, 408, 502)),
    ),
    "Numbers": (
        Step("number_connect", body=_TWILIO, needs=_CONNECTED, says="Connected"),
        Step("number_get", needs=_CONNECTED, says="bots_count"),
        Step("number_disconnect", needs=_CONNECTED),
        Step("number_get", "Your connected number: none", expect=(404,), says="no_number"),
    ),
    "Twilio": (
        Step("voice", body=_CALL, query={"bot_id": "{{bot_id}}"}, needs=_UNSIGNED, says="<Connect"),
        Step("voice", "Malformed bot", expect=(400,), query={"bot_id": "no bot"}, says="Invalid bot"),
        Step("voice", "Unknown bot", expect=(404,), query={"bot_id": "bot_unknown"}, says="Bot not found"),
        Step("voice_fallback", query={"bot_id": "bot_unknown"}, needs=_UNSIGNED, says="Bot not found"),
        Step("voice_next", "Not a call", expect=(400, 403), query={"call": "nothing"}),
        Step("voice_status", expect=(204,), body={**_CALL, "CallStatus": "completed"}, needs=_UNSIGNED),
        Step("voice_stream", "The media stream, not as a WebSocket", expect=(400,)),
    ),
    "Calls": (
        Step("call_list", query={"bot_id": "{{bot_id}}", "limit": "50"}),
        Step("call_get", needs=_UNSIGNED, says="+14155550100"),
        Step("call_events", expect=(200, 204), needs=_UNSIGNED),
        Step("call_recording", "The recording of a call: none", expect=(404, 409), needs=_UNSIGNED),
        Step("call_delete", needs=_UNSIGNED, again_after=409),
        Step("call_get", "A call that was erased", expect=(404,)),
    ),
    "The end": (
        Step("bot_delete", says="Bot deleted"),
        Step("bot_get", "A bot that was deleted", expect=(404,)),
        Step("key_delete"),
        Step("key_delete", "Delete an API key: gone", expect=(404,)),
    ),
}
