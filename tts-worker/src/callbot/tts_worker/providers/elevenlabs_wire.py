"""What ElevenLabs is told and what it answers, without any waiting.

Its own description: https://github.com/elevenlabs/elevenlabs-docs, `fern/apis/api/asyncapi.yml`, and
https://elevenlabs.io/docs/eleven-api/guides/how-to/websockets/multi-context-web-socket
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import broken_off, malformed, refusal, vendor_code
from callbot.tts_worker.providers.audio_message import audio_of, object_of
from callbot.tts_worker.providers.dialect import ConnectionGone, Heard

FORMAT: Final = "ulaw_8000"
MAX_INACTIVITY_S: Final = 180
AT_ONCE: Final = 4
"""Of the five contexts that a connection may have; the fifth waits for the next text."""

_QUOTA: Final = frozenset({"quota_exceeded", "insufficient_credits", "payment_required"})
_KEY: Final = frozenset(
    {
        "invalid_api_key",
        "missing_permissions",
        "authentication_required",
        "needs_authorization",
        "unauthorized",
    }
)
_BUSY: Final = frozenset(
    {
        "concurrent_limit_exceeded",
        "max_active_conversations",
        "rate_limit_exceeded",
        "rate_limited",
        "system_busy",
        "too_many_concurrent_requests",
    }
)
_VOICE: Final = frozenset({"voice_not_found", "voice_does_not_exist", "voice_id_does_not_exist"})
_TEXT: Final = frozenset(
    {"max_character_limit_exceeded", "invalid_text", "unsupported_language", "model_not_found"}
)
_IDLE: Final = "input_timeout_exceeded"

_LANGUAGES: Final = frozenset(
    {
        "ar",
        "bg",
        "cs",
        "da",
        "de",
        "el",
        "en",
        "es",
        "fi",
        "fil",
        "fr",
        "hi",
        "hr",
        "hu",
        "id",
        "it",
        "ja",
        "ko",
        "ms",
        "nl",
        "no",
        "pl",
        "pt",
        "ro",
        "ru",
        "sk",
        "sv",
        "ta",
        "tr",
        "uk",
        "vi",
        "zh",
    }
)
"""Of the models of version 2.5; later ones take more. Another language is refused with 400."""
_TAKE_A_LANGUAGE: Final = ("eleven_flash_v2_5", "eleven_turbo_v2_5", "eleven_v3", "eleven_v4")
_WITHOUT_WEBSOCKETS: Final = ("eleven_v3",)


def has_websockets(model: str) -> bool:
    return not model.startswith(_WITHOUT_WEBSOCKETS)


def language_code(model: str, language: str) -> str:
    """ISO 639-1 of a BCP 47 tag, where the model takes one; else empty: it hears the language itself."""
    code = language.partition("-")[0].lower()
    code = "no" if code == "nb" else code
    return code if model.startswith(_TAKE_A_LANGUAGE) and code in _LANGUAGES else ""


def refused(status: int, body: Any, retry_after: str | None) -> ProviderError:
    """`{"detail": {"status": "quota_exceeded", "message": …}}`; the message is not kept."""
    detail = body.get("detail") if isinstance(body, Mapping) else None
    words = [detail.get(k) for k in ("status", "code")] if isinstance(detail, Mapping) else []
    word = next((w for w in map(vendor_code, words) if w), "")
    if word in _VOICE or word.startswith("voice_") or (status == 404 and not word):
        return ProviderError("unknown_voice", f"HTTP {status} {word}".strip(), retryable=False)
    if word in _BUSY:
        status = 429
    return refusal(status, word, retry_after=retry_after, out_of_quota=word in _QUOTA)


def told_off(word: str, code: int) -> ProviderError | ConnectionGone:
    """An error message of the WebSocket: `{"message": …, "error": word, "code": 1008}`."""
    about = f"{code} {vendor_code(word)}".strip()
    if word in _QUOTA:
        return ProviderError("out_of_quota", about, retryable=False)
    if word in _KEY:
        return ProviderError("refused", about, retryable=False)
    if word in _VOICE or word.startswith("voice_"):
        return ProviderError("unknown_voice", about, retryable=False)
    if word in _BUSY:
        return ProviderError("busy", about, retryable=True)
    if word in _TEXT:
        return ProviderError("bad_request", about, retryable=False)
    error = ProviderError("unavailable", about, retryable=True)
    return ConnectionGone(error) if word == _IDLE else error


@dataclass(frozen=True)
class MultiContext:
    """`/v1/text-to-speech/{voice_id}/multi-stream-input`: each text is a context, opened ahead of it."""

    inactivity_s: int = MAX_INACTIVITY_S
    at_once: int = AT_ONCE
    replaced_after_s: float = math.inf
    drains: bool = True
    """What has been flushed is still generated after its context was closed."""

    @property
    def tick_s(self) -> float:
        return self.inactivity_s / 3

    def prepare(self, context: str) -> Sequence[str]:
        """Without `voice_settings`: those that the voice has at the vendor are meant."""
        return [_message(context, text=" ")]

    def keep_alive(self, context: str) -> Sequence[str]:
        return [_message(context, text="")]

    def say(self, context: str, text: str) -> Sequence[str]:
        """Closed at once: what was flushed is spoken to its end, and only then is its end told."""
        return [_message(context, text=f"{text} ", flush=True), _message(context, close_context=True)]

    def cancel(self, context: str) -> Sequence[str]:
        return [_message(context, close_context=True)]

    def heard(self, message: str) -> Heard:
        told = object_of(message)
        # The description writes `is_final`, the wire `isFinal`.
        over = told.get("isFinal") is True or told.get("is_final") is True
        context = told.get("contextId") or told.get("context_id") or ""
        if not isinstance(context, str):
            raise malformed("a context that is no text")
        if told.get("error") or (told.get("message") and told.get("code")):
            code = told.get("code")
            error = told_off(vendor_code(told.get("error")), code if isinstance(code, int) else 0)
            return Heard(context, error=error)
        return Heard(context, audio=audio_of(told.get("audio")), over=over)

    def closed(self, code: int) -> ProviderError:
        if code == 1000:
            return broken_off()
        # 1009 is what a voice gets that the model cannot speak with (elevenlabs-python issue 586).
        if code == 1009:
            return ProviderError("bad_request", "closed with 1009", retryable=False)
        return ProviderError("unavailable", f"closed with {code}", retryable=True)


def _message(context: str, **fields: object) -> str:
    return json.dumps({**fields, "context_id": context})
