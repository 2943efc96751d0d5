"""What call-router can be told by the environment."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from callbot.call_router.tokens import KeyRing
from callbot.runtime.settings import ServiceSettings, WebhookHttp
from callbot.schemas.bots import VOICE_PROVIDERS


class Settings(ServiceSettings):
    mongo_url: str = Field("mongodb://127.0.0.1:27017", validation_alias="MONGO_URL", repr=False)
    mongo_database: str = Field("callbot", pattern=r"^[A-Za-z0-9_-]{1,60}$")
    auth: Literal["required", "open"] = "required"
    token_keys: SecretStr | None = None
    """`kid:base64,…`, at least 32 bytes each: the first signs stream tokens, all of them verify.

    The same for every replica. None only in open mode: a key of this process alone.
    """
    webhook_http: WebhookHttp = "never"
    voice_providers: Annotated[frozenset[str], NoDecode] = frozenset({"piper"})
    """The providers whose voices work in this deployment, separated by commas."""
    nats_replicas: int = Field(1, ge=1, le=5)
    """Copies of each stream and bucket; 3 in a cluster of three servers."""

    @field_validator("mongo_url")
    @classmethod
    def _mongo_scheme(cls, url: str) -> str:
        if not url.startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("must begin with mongodb:// or mongodb+srv://")
        return url

    @field_validator("voice_providers", mode="before")
    @classmethod
    def _by_commas(cls, value: object) -> object:
        return (
            {part.strip() for part in value.split(",") if part.strip()} if isinstance(value, str) else value
        )

    @field_validator("voice_providers")
    @classmethod
    def _known_providers(cls, providers: frozenset[str]) -> frozenset[str]:
        if unknown := providers - set(VOICE_PROVIDERS):
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(VOICE_PROVIDERS)}")
        return providers

    @field_validator("token_keys")
    @classmethod
    def _readable_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            KeyRing.parse(keys.get_secret_value())
        return keys

    @model_validator(mode="after")
    def _keys_or_open(self) -> Self:
        if self.token_keys is None and self.auth != "open":
            raise ValueError("CALLBOT_TOKEN_KEYS is needed unless CALLBOT_AUTH is open")
        return self

    def key_ring(self) -> KeyRing:
        return KeyRing.parse(self.token_keys.get_secret_value()) if self.token_keys else KeyRing.random()
