"""What call-router can be told by the environment."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from callbot.runtime.keyring import KeyRing
from callbot.runtime.settings import Networks, PublicSettings, WebhookHttp


class Settings(PublicSettings):
    mongo_url: str = Field("mongodb://127.0.0.1:27017", validation_alias="MONGO_URL", repr=False)
    mongo_database: str = Field("callbot", pattern=r"^[A-Za-z0-9_-]{1,60}$")
    nats_replicas: int = Field(1, ge=1, le=5)
    """Copies of each stream and bucket; 3 in a cluster of three servers."""

    # Key rings, `kid:base64,…`: the first key is used for what is new, all of them for what is old. The same
    # for every replica; the first two may be missing in open mode only: keys of this process alone.
    token_keys: SecretStr | None = None
    """Sign stream tokens and action URLs."""
    jwt_keys: SecretStr | None = None
    """Sign access tokens."""
    secret_keys: SecretStr
    """Seal the users' Twilio auth tokens."""
    webhook_keys: SecretStr
    """Seal the webhooks' secrets; the same ring as dialog-worker's."""

    sign_up: Literal["open", "closed"] = "open"
    """`closed`: there are no new users."""
    access_token_s: int = Field(3600, ge=60)
    webhook_http: WebhookHttp = "never"
    webhook_allow: Networks = ()
    """Private ranges in which webhooks may be."""

    bots_per_user: int = Field(10, ge=1)
    calls_per_bot_a_day: int = Field(100, ge=1)
    calls_at_once: int = Field(20, ge=1)
    """Live calls of one user."""
    keys_per_user: int = Field(20, ge=1)
    prices: Path | None = None
    """TOML: what providers cost, see docs/prices.toml. None: calls show what they have used, and no cost."""
    recording_days: int = Field(30, ge=1, le=3650)
    """So long recordings are kept; a change is for those that come after it."""
    auth_attempts_per_address: int = Field(30, ge=1)
    """Sign-ups and token requests of one address (IPv6: of one /64) in a quarter of an hour."""
    auth_attempts_per_account: int = Field(10, ge=1)
    """Failed token requests for one e-mail address in a quarter of an hour."""

    twilio_api_url: str = "https://api.twilio.com"
    twilio_account_sid: str = Field("", pattern=r"^(AC[0-9a-f]{32})?$")
    """The platform's own account: numbers for bots are bought with it. Empty: none are."""
    twilio_auth_token: SecretStr = SecretStr("")
    number_country: str = Field("US", pattern=r"^[A-Z]{2}$")
    number_area_code: str = Field("", pattern=r"^[0-9]{0,5}$")

    @field_validator("mongo_url")
    @classmethod
    def _mongo_scheme(cls, url: str) -> str:
        if not url.startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("must begin with mongodb:// or mongodb+srv://")
        return url

    @field_validator("token_keys", "jwt_keys", "secret_keys", "webhook_keys")
    @classmethod
    def _readable_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            KeyRing.parse(keys.get_secret_value())
        return keys

    @model_validator(mode="after")
    def _keys_or_open(self) -> Self:
        for name in ("token_keys", "jwt_keys"):
            if getattr(self, name) is None and self.auth != "open":
                raise ValueError(f"CALLBOT_{name.upper()} is needed unless CALLBOT_AUTH is open")
        if bool(self.twilio_account_sid) != bool(self.twilio_auth_token.get_secret_value()):
            raise ValueError("CALLBOT_TWILIO_ACCOUNT_SID and CALLBOT_TWILIO_AUTH_TOKEN belong together")
        return self


def ring_of(keys: SecretStr | None) -> KeyRing:
    return KeyRing.parse(keys.get_secret_value()) if keys else KeyRing.random()
