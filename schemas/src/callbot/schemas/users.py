"""Users: who they are, how they show it, and what the API takes and gives of them."""

from typing import Annotated, Literal

from pydantic import ConfigDict, EmailStr, Field, StringConstraints

from callbot.schemas.message import Message, NoNul, Timestamp, UserId

OPEN_MODE_USER = "public"
"""Who calls without credentials when `CALLBOT_AUTH=open`."""
MIN_PASSWORD_CHARACTERS = 10
UNAUTHORIZED = (
    "Credentials are missing or not valid: send Authorization: Bearer TOKEN (from POST /v1/auth/token) "
    "or X-API-Key."
)
"""Whatever was wrong with them."""

Password = Annotated[str, StringConstraints(min_length=MIN_PASSWORD_CHARACTERS, max_length=200), NoNul]
Email = Annotated[EmailStr, StringConstraints(max_length=254, to_lower=True)]
TimeZone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}$")]
"""An IANA name, such as Europe/Berlin; call-router refuses the ones that nobody knows."""
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True), NoNul]
KeyId = Annotated[str, StringConstraints(pattern=r"^key_[A-Za-z0-9]{1,32}$")]
ClientAddress = Annotated[str, StringConstraints(max_length=64)]
"""Where a request comes from; auth endpoints count their attempts by it."""


class Credential(Message):
    """What a request shows of who it comes from."""

    kind: Literal["bearer", "api_key", "none"] = "none"
    value: Annotated[str, StringConstraints(max_length=4096)] = Field("", repr=False)


class AsUser(Message):
    """The base of every question that is asked for a user. Refused with `unauthorized`."""

    credential: Credential


class RateLimit(Message):
    """For the headers `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds); not part of a body."""

    limit: int
    remaining: int
    reset_s: int


class Done(Message):
    message: str


class SignUpBody(Message):
    """The body of `POST /v1/auth/signup`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    email: Email
    password: Password = Field(repr=False)
    timezone: TimeZone = "UTC"
    """Where a day begins for `calls_today` and the daily limits."""


class TokenBody(Message):
    """The body of `POST /v1/auth/token`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    email: Annotated[str, StringConstraints(min_length=1, max_length=254), NoNul]
    password: Annotated[str, StringConstraints(min_length=1, max_length=200), NoNul] = Field(repr=False)


class SignUp(Message):
    """Refused with `sign_up_closed`, `email_taken`, `rate_limited`, `invalid_request`."""

    body: SignUpBody
    address: ClientAddress


class SignedUp(Message):
    user_id: UserId
    email: str
    rate_limit: RateLimit | None = Field(None)


class IssueToken(Message):
    """Refused with `invalid_credentials` (the same for an unknown user), `rate_limited`."""

    body: TokenBody
    address: ClientAddress


class AccessToken(Message):
    access_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"
    expires_in: int
    """Seconds."""
    rate_limit: RateLimit | None = Field(None)


class Me(Message):
    """The user as the API shows it to them."""

    user_id: UserId
    email: str | None
    """None for the user of the open mode."""
    timezone: str
    created_at: Timestamp


class MePatch(Message):
    """The body of `PATCH /v1/me`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    timezone: TimeZone


class GetMe(AsUser):
    pass


class UpdateMe(AsUser):
    changes: MePatch


class ApiKeyBody(Message):
    """The body of `POST /v1/api-keys`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: KeyName


class CreateApiKey(AsUser):
    """Refused with `key_limit`."""

    body: ApiKeyBody


class ApiKey(Message):
    id: KeyId
    name: str
    created_at: Timestamp


class NewApiKey(ApiKey):
    key: str = Field(repr=False)
    """Shown once."""


class ListApiKeys(AsUser):
    pass


class ApiKeyList(Message):
    api_keys: list[ApiKey]


class ApiKeyRef(AsUser):
    key_id: KeyId
