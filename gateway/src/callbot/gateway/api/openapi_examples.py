"""What the document says in words and shows as examples, by operation."""

from typing import Any

from callbot.schemas.turn_taking import Phrases
from callbot.schemas.usage import AMOUNTS

Json = dict[str, Any]

_BOT_ID = "bot_4Fq81xJz0aQw"
_CALL_ID = "CA5ef8732a3c49700934481addd5ce1659"
_DEFINITION: Json = {
    "goal": "Take restaurant reservations",
    "webhook": "https://api.eatery.com/bot",
    "context": "Open 5PM–10PM. Tables for 2,4,6. No pets.",
    "voice": "elevenlabs:emma",
}
_BOT: Json = {
    "id": _BOT_ID,
    "number": "+14155551234",
    **_DEFINITION,
    "voice_status": "fallback",
    "greeting": "Hello! How can I help you?",
    "language": "en-US",
    "transfer_to": None,
    "hints": [],
    "suggest": "full",
    "max_call_seconds": 3600,
    "turn": {"min_silence_ms": 250, "max_silence_ms": 1500},
    "phrases": {**dict.fromkeys(Phrases.model_fields), "one_moment": "Let me look."},
    "protect_greeting": False,
    "record": False,
    "status": "active",
    "default": True,
    "created_at": "2026-04-05T10:00:00Z",
    "calls_today": 12,
    "version": 3,
}
_ME: Json = {
    "user_id": "user_9kVb2Lm4",
    "email": "you@example.com",
    "timezone": "Europe/Berlin",
    "created_at": "2026-04-05T09:00:00Z",
}
_KEY: Json = {"id": "key_3Nw8Tq", "name": "laptop", "created_at": "2026-04-05T09:10:00Z"}
_CALL: Json = {
    "call_id": _CALL_ID,
    "bot_id": _BOT_ID,
    "from": "+14155550100",
    "to": "+14155551234",
    "started_at": "2026-04-05T10:05:00Z",
    "ended_at": "2026-04-05T10:06:12Z",
    "duration_ms": 72000,
    "end_reason": "bot_hung_up",
}
_TURN: Json = {
    "number": 1,
    "input": "speech",
    "user_text": "Table for 4 at 7PM",
    "suggestion": "Ask for name and phone",
    "say": "Got it! Name please?",
    "heard": "Got it! Name please?",
    "action": "continue",
    "source": "webhook",
    "webhook_status": "ok",
    "errors": [],
    "times": {
        "endpointing_ms": 420.0,
        "stt_ms": 63.0,
        "llm_first_token_ms": 22.0,
        "llm_ms": 140.0,
        "webhook_ms": 81.0,
        "answer_ms": 243.0,
        "tts_first_audio_ms": 48.0,
        "voice_to_voice_ms": 731.0,
    },
}


def _used(role: str, provider: str, model: str = "", *, cost: float | None = None, **amounts: float) -> Json:
    named = {"role": role, "provider": provider, "model": model}
    return {**named, **dict.fromkeys(AMOUNTS), **amounts, "estimated": False, "cost": cost}


_USAGE = [
    _used("llm", "openai", "your-model", tokens_in=1840, tokens_out=96),
    _used("stt", "deepgram", "nova-3", seconds=71.88),
    _used("tts", "piper", characters=212, cost=0.0),
]

BODIES: dict[str, Json] = {
    "user_sign_up": {"email": "you@example.com", "password": "correct horse battery"},
    "user_token": {"email": "you@example.com", "password": "correct horse battery"},
    "user_update": {"timezone": "Europe/Berlin"},
    "key_create": {"name": "laptop"},
    "number_connect": {
        "account_sid": "AC" + "0123456789abcdef" * 2,
        "auth_token": "your-auth-token",
        "phone_number_sid": "PN" + "0123456789abcdef" * 2,
    },
    "bot_create": _DEFINITION,
    "bot_update": {"greeting": "Good evening! A table for tonight?", "default": True},
    "bot_test": {"user_text": "Table for 4 at 7PM"},
}
ANSWERS: dict[str, Any] = {
    "user_sign_up": {"user_id": "user_9kVb2Lm4", "email": "you@example.com"},
    "user_token": {"access_token": "eyJhbGciOiJIUzI1NiIs…", "token_type": "bearer", "expires_in": 3600},
    "user_get": _ME,
    "user_update": _ME,
    "key_create": {**_KEY, "key": "cbk_3Nw8Tq_…"},
    "key_list": [_KEY],
    "key_delete": {"message": "API key deleted"},
    "number_connect": {"message": "Connected", "phone_number": "+14155551234"},
    "number_get": {"phone_number": "+14155551234", "bots_count": 3},
    "number_disconnect": {"message": "Disconnected"},
    "bot_create": {**_BOT, "calls_today": 0, "version": 1, "webhook_secret": "whsec_…"},
    "bot_list": [{k: _BOT[k] for k in ("id", "number", "goal", "status", "calls_today")}],
    "bot_get": _BOT,
    "bot_update": {**_BOT, "greeting": "Good evening! A table for tonight?", "version": 4},
    "bot_delete": {"message": "Bot deleted"},
    "bot_test": {
        "status": "ok",
        "detail": "",
        "http_status": 200,
        "took_ms": 81.0,
        "answer": {"say": "Got it! Name please?", "action": "continue", "transfer_to": None},
    },
    "voice_list": [{"voice": "piper:joe", "provider": "piper", "name": "joe", "language": "en-US", "id": ""}],
    "call_list": [_CALL],
    "call_get": {
        **_CALL,
        "turns": [_TURN],
        "turns_omitted": 0,
        "fallbacks": [],
        "usage": _USAGE,
        "cost": {"amount": 0.0, "currency": "USD", "complete": False},
    },
    "call_delete": {"message": "Call deleted"},
}
DESCRIPTIONS = {
    "user_sign_up": "Attempts are limited by address.",
    "user_token": (
        "The token is a JWT; show it as `Authorization: Bearer …`. Unknown users and wrong passwords get the "
        "same answer after the same time. Attempts are limited by address, failed ones also by account."
    ),
    "user_update": "Where a day begins for `calls_today` and the daily limit.",
    "key_create": "The key is shown in this answer and never again. Show it as `X-API-Key`.",
    "key_delete": "Requests with this key are refused from now on.",
    "number_connect": (
        "Reads the number from Twilio with these credentials, then points its voice, fallback and status "
        "URLs to this service. What stood there before is put back by `DELETE /my-number`. The auth token is "
        "kept encrypted and never shown again."
    ),
    "number_get": "With how many bots share it.",
    "number_disconnect": "Puts back the URLs that the number had before it was connected.",
    "bot_create": (
        "Uses the connected number; without one, a number is bought where the operator has set up a Twilio "
        "account; else `number` is null and the bot is reached by `/voice?bot_id=`. `webhook_secret` is "
        "shown in this answer only. A voice whose provider does not work here is accepted: calls use the "
        "fallback voice, and `voice_status` says so. Letter case does not count in a voice's name; in the "
        "place of the name there may be the vendor's id, as `GET /voices` has it."
    ),
    "bot_list": "A plain list; the next page is in the `Link` header.",
    "bot_update": (
        "Only the fields that are present change. With `If-Match`, only if nobody has changed the bot since. "
        '`"default": true` gives it the calls of the number that name no bot.'
    ),
    "bot_delete": "A number that was bought for it is released.",
    "bot_test": (
        "Sends a sample request, signed as in a call, and tells what came back and how long it took. "
        "The body may be left out."
    ),
    "voice_list": (
        "Other voices may be set in a bot; calls then use the fallback voice. Vendors have thousands: where "
        "they do not fit into one answer (about 6,500), its end is missing unless it is asked for less."
    ),
    "call_list": "A plain list; the next page is in the `Link` header.",
    "call_get": (
        "Complete a moment after the call has ended. `usage` says what each provider was given for it, also "
        "in vain: texts that nobody heard, answers that were thought ahead and not needed. `cost` is "
        "computed from the operator's prices when the call is asked for; it is null where there are none."
    ),
    "call_delete": "From every store. A call that still goes on cannot be erased.",
}
PARAMETERS: dict[str, tuple[str, Any]] = {
    "provider": ("Only the voices of this provider.", "piper"),
    "language": (
        "Only voices that speak it: `en` is all of English, `en-GB` that alone. Voices of several "
        "languages, or of one that is not told (`und`), are always among them.",
        "en-US",
    ),
    "bot_id": ("The bot's id.", _BOT_ID),
    "call_id": ("The call's id: Twilio's CallSid.", _CALL_ID),
    "key_id": ("The API key's id (not the key).", "key_3Nw8Tq"),
    "limit": ("How many at most.", 50),
    "cursor": ("From the `Link` header of the page before.", None),
}
"""Name → what it is, and an example."""

INTRODUCTION = """\
Create phone bots, connect a Twilio number, look at calls.

Every path exists under `/v1` and, as in the first version of the API, without a prefix (`servers`).

**Who you are.** Sign up, get a token, and send it as `Authorization: Bearer …`; or make an API key and send
it as `X-API-Key`. Twilio's requests (`/voice…`) carry its signature instead. In open mode (a platform on your
own machine) a request without credentials acts as the user `public`.

**Errors** are `{"error": {"code", "message", "details", "request_id"}}`; programs look at `code`.

**Unknown fields** of a body are refused. Answers may grow new fields.

**Limits.** 10 bots a user, 100 calls a bot a day, 5 webhook calls a second, unless the operator sets others.
"""
TAGS = {
    "Users": "Sign up, tokens, API keys.",
    "Numbers": "Your Twilio number.",
    "Bots": "What answers the telephone.",
    "Calls": "What was said, and how long everything took.",
    "Twilio": "What Twilio asks; you need not call these.",
}
