"""A bot, and what the public API takes and gives of it."""

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from callbot.schemas.fixed_sentences import ENGLISH_HELLO, with_greeting
from callbot.schemas.language_tags import Language
from callbot.schemas.message import BotId, Message, NoNul, Timestamp
from callbot.schemas.turn_taking import Greeting, Phrases, TurnTaking
from callbot.schemas.users import AsUser, RateLimit
from callbot.schemas.voices import DEFAULT_VOICE, Voice
from callbot.schemas.webhook import WebhookAnswer

DEFAULT_GREETING = ENGLISH_HELLO


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


def _text(min_length: int, max_length: int) -> StringConstraints:
    return StringConstraints(min_length=min_length, max_length=max_length, strip_whitespace=True)


Goal = Annotated[str, _text(1, 2000), NoNul]
Context = Annotated[str, _text(0, 20_000), NoNul]
Webhook = Annotated[str, _text(1, 2000), AfterValidator(_absolute_url)]
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
    """When absent: the same in the bot's language, where that is de, es, fr, hi, ja or pt."""
    language: Language = "en-US"
    """A BCP 47 tag. What the caller is heard in, what the bot answers in, and how it is spoken."""
    transfer_to: E164 | None = None
    hints: Annotated[list[Hint], Field(max_length=200)] = []
    suggest: Annotated[Suggest, Field(strict=False)] = Suggest.FULL
    webhook_secret: WebhookSecret | None = Field(None, repr=False)
    """Made by us when absent; shown once, in the answer to the creation."""
    max_call_seconds: Annotated[int, Field(ge=30, le=14_400)] = 3600
    turn: TurnTaking = TurnTaking()
    """How long the caller may be silent before the bot answers."""
    phrases: Phrases = Phrases()
    """Sentences of the bot's own for what happens in every call; what is not set is ours."""
    protect_greeting: bool = False
    """The greeting cannot be interrupted."""
    record: bool = False
    """Both sides are recorded, each in a channel of its own: `GET /v1/calls/{id}/recording`."""

    _greets_in_its_language = model_validator(mode="before")(with_greeting)


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
    webhook_secret: WebhookSecret = Field("", repr=False)
    max_call_seconds: Annotated[int, Field(ge=30, le=14_400)] = 3600
    turn: TurnTaking = TurnTaking()
    """How long the caller may be silent before the bot answers; replaced as a whole."""
    phrases: Phrases = Phrases()
    """The bot's own sentences for what happens in every call, replaced as a whole; null: ours."""
    protect_greeting: bool = False
    """The greeting cannot be interrupted."""
    record: bool = False
    """Both sides are recorded, each in a channel of its own: `GET /v1/calls/{id}/recording`."""
    status: Annotated[BotStatus, Field(strict=False)] = BotStatus.ACTIVE
    default: bool = False
    """True: calls of the number that name no bot go to this one from now on. False: to the oldest bot again;
    so the oldest one stays the default, and the answer shows `true`."""

    @model_serializer(mode="wrap")
    def _only_what_changes(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {field: value for field, value in dump(self).items() if field in self.model_fields_set}

    def changes(self) -> dict[str, object]:
        return self.model_dump(mode="json")


class Bot(Message):
    """A bot as the API shows it to its owner."""

    id: BotId
    number: str | None
    """The number that its owner has connected; else the one that was bought for it; else null."""
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
    turn: TurnTaking
    """How long the caller may be silent before the bot answers."""
    phrases: Phrases
    """Sentences of the bot's own for what happens in every call; what is not set is ours."""
    protect_greeting: bool
    """The greeting cannot be interrupted."""
    record: bool
    """Both sides are recorded, each in a channel of its own: `GET /v1/calls/{id}/recording`."""
    status: BotStatus
    default: bool
    """Calls of the number that name no bot go to this one."""
    created_at: Timestamp
    calls_today: int
    version: int
    """Rises with every change; the `ETag` of the bot."""
    webhook_secret: str | None = Field(None, repr=False)
    """Only in the answer to the creation."""
    rate_limit: RateLimit | None = Field(None)
    """Of the user's bots, in the answer to the creation; goes into the headers."""


class BotSummary(Message):
    """A bot in the list."""

    id: BotId
    number: str | None
    """As in the bot."""
    goal: str
    status: BotStatus
    calls_today: int


class CreateBot(AsUser):
    """Refused with `ambiguous_voice`, `bot_limit`, `invalid_request`, `twilio_unavailable`,
    `no_number_available`."""

    definition: BotDefinition


class BotRef(AsUser):
    bot_id: BotId


class UpdateBot(AsUser):
    """Refused with `ambiguous_voice`, `bot_not_found`, `precondition_failed`, `invalid_request`."""

    bot_id: BotId
    if_version: int | None = None
    """The change is made only to this version (`If-Match`)."""
    changes: BotPatch

    def encode(self) -> bytes:
        """Only what is present: an absent field of a patch is no change."""
        return self.model_dump_json(by_alias=True, exclude_unset=True).encode()


class ListBots(AsUser):
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: Annotated[str, StringConstraints(max_length=200)] | None = None


class BotPage(Message):
    bots: list[BotSummary]
    next_cursor: str | None = None


class TestWebhookBody(Message):
    """The body of `POST /v1/bots/{id}/test-webhook`; it may be left out."""

    __test__ = False
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    user_text: Annotated[str, _text(1, 2000), NoNul] = "Hello, this is a test."


class TestWebhook(AsUser):
    """Refused with `bot_not_found`, `unavailable`."""

    __test__ = False

    bot_id: BotId
    body: TestWebhookBody = TestWebhookBody()


class WebhookTested(Message):
    """What came back; 408 and 502 say it in the error's details."""

    status: str
    """`ok`, or what was wrong (`WebhookStatus`)."""
    detail: str = ""
    http_status: int | None = None
    took_ms: float | None = None
    answer: WebhookAnswer | None = None


class TryWebhook(Message):
    """One sample request to a webhook, through the same door as in a call."""

    bot_id: BotId
    user_id: str
    webhook: str
    sealed_webhook_secret: str
    language: str
    body: TestWebhookBody
