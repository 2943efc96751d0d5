"""A bot, and what the public API takes and gives of it."""

from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

from callbot.schemas.message import BotId, Message, Timestamp, UserId

VOICE_PROVIDERS = (
    "cartesia",
    "deepgram",
    "elevenlabs",
    "google",
    "openai",
    "piper",
    "playht",
    "polly",
)
DEFAULT_VOICE = "piper:joe"
DEFAULT_GREETING = "Hello! How can I help you?"


class BotStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


class VoiceStatus(StrEnum):
    OK = "ok"
    FALLBACK = "fallback"
    """The voice's provider does not work here; calls use the fallback voice."""


class Suggest(StrEnum):
    FULL = "full"
    OFF = "off"


def _known_voice(voice: str) -> str:
    provider, _, name = voice.partition(":")
    if provider not in VOICE_PROVIDERS or not name or not name.isprintable() or " " in name:
        known = ", ".join(f"{p}:…" for p in VOICE_PROVIDERS)
        raise ValueError(f"must be provider:name with one of {known}")
    return voice


def _absolute_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as e:
        raise ValueError("must be an absolute https URL") from e
    if parts.scheme not in ("https", "http") or not host or "@" in parts.netloc or not url.isprintable():
        raise ValueError("must be an absolute https URL without user and password")
    if parts.fragment or " " in url:
        raise ValueError("must be an absolute https URL without spaces or fragment")
    return url


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL")
    return text


def _text(min_length: int, max_length: int) -> StringConstraints:
    return StringConstraints(min_length=min_length, max_length=max_length, strip_whitespace=True)


NoNul = AfterValidator(_no_nul)
Goal = Annotated[str, _text(1, 2000), NoNul]
Context = Annotated[str, _text(0, 20_000), NoNul]
Webhook = Annotated[str, _text(1, 2000), AfterValidator(_absolute_url)]
Voice = Annotated[str, StringConstraints(max_length=200), AfterValidator(_known_voice)]
Greeting = Annotated[str, _text(1, 1000), NoNul]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]
"""A BCP 47 tag (RFC 5646), without extensions and private use."""
E164 = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
Hint = Annotated[str, _text(1, 100), NoNul]
WebhookSecret = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{16,200}$")]


class BotDefinition(Message):
    """The body of `POST /v1/bots`. Unknown fields are refused, so that a typing error is not lost."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    goal: Goal
    webhook: Webhook
    context: Context = ""
    voice: Voice = DEFAULT_VOICE
    greeting: Greeting = DEFAULT_GREETING
    language: Language = "en-US"
    transfer_to: E164 | None = None
    hints: Annotated[list[Hint], Field(max_length=200)] = []
    suggest: Annotated[Suggest, Field(strict=False)] = Suggest.FULL
    webhook_secret: WebhookSecret | None = None
    """Made by us when absent; shown once, in the answer to the creation."""
    max_call_seconds: Annotated[int, Field(ge=30, le=14_400)] = 3600


class BotPatch(Message):
    """The body of `PATCH /v1/bots/{id}`: only the fields that are present change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    goal: Goal = ""
    webhook: Webhook = ""
    context: Context = ""
    voice: Voice = DEFAULT_VOICE
    greeting: Greeting = ""
    language: Language = ""
    transfer_to: E164 | None = None
    hints: Annotated[list[Hint], Field(max_length=200)] = []
    suggest: Annotated[Suggest, Field(strict=False)] = Suggest.FULL
    webhook_secret: WebhookSecret = ""
    max_call_seconds: Annotated[int, Field(ge=30, le=14_400)] = 3600
    status: Annotated[BotStatus, Field(strict=False)] = BotStatus.ACTIVE

    @model_serializer(mode="wrap")
    def _only_what_changes(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {field: value for field, value in dump(self).items() if field in self.model_fields_set}

    def changes(self) -> dict[str, object]:
        return self.model_dump(mode="json")


class Bot(Message):
    """A bot as the API shows it to its owner."""

    id: BotId
    number: str | None
    goal: str
    webhook: str
    context: str
    voice: str
    voice_status: VoiceStatus
    greeting: str
    language: str
    transfer_to: str | None
    hints: list[str]
    suggest: Suggest
    max_call_seconds: int
    status: BotStatus
    created_at: Timestamp
    calls_today: int
    webhook_secret: str | None = None
    """Only in the answer to the creation."""


class BotSummary(Message):
    """A bot in the list."""

    id: BotId
    number: str | None
    goal: str
    status: BotStatus
    calls_today: int


class CreateBot(Message):
    user_id: UserId
    definition: BotDefinition


class BotRef(Message):
    user_id: UserId
    bot_id: BotId


class UpdateBot(Message):
    user_id: UserId
    bot_id: BotId
    changes: BotPatch

    def encode(self) -> bytes:
        """Only what is present: an absent field of a patch is no change."""
        return self.model_dump_json(by_alias=True, exclude_unset=True).encode()


class ListBots(Message):
    user_id: UserId
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: str | None = None


class BotPage(Message):
    bots: list[BotSummary]
    next_cursor: str | None = None


class Deleted(Message):
    message: Literal["Bot deleted"] = "Bot deleted"
