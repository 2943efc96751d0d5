"""The environment, read once, into one frozen class for each service."""

import ipaddress
import secrets
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from callbot.runtime.errors import SettingsError

WebhookHttp = Literal["never", "loopback", "allowed"]
"""Whether a customer's webhook may be http: to this machine (which `loopback` allows), or also elsewhere."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _by_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_by_commas)]
"""Ranges of addresses, separated by commas: `10.0.0.0/8,fd00::/8`."""


def is_loopback(host: str | None) -> bool:
    """This machine, by address or by its usual name; no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _new_worker_id() -> str:
    return f"w-{secrets.token_hex(6)}"


class ServiceSettings(BaseSettings):
    """What every service can be told. A service adds its own fields in a subclass."""

    model_config = SettingsConfigDict(
        env_prefix="CALLBOT_", frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    nats_url: str = Field("nats://127.0.0.1:4222", validation_alias="NATS_URL")
    health_host: str = "127.0.0.1"
    health_port: int = Field(0, ge=0, le=65535)
    """0: any free port, said in the log."""
    log_format: Literal["json", "text"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_pii: bool = False
    """True: what callers say appears in the log, under `pii.` keys."""
    worker_id: str = Field(default_factory=_new_worker_id, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """This process, among its replicas and over its restarts."""
    drain_s: float = Field(4.0, ge=0)
    """How long a stopping service may finish what it has."""
    otlp_endpoint: str = Field("", validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """A collector that takes OTLP/HTTP, as `http://collector:4318`. Empty: no traces."""
    otlp_traces_endpoint: str = Field("", validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    """The whole URL for traces, where it is not `/v1/traces` of the other."""
    traces_sample: float = Field(1.0, ge=0, le=1)
    """The share of calls that are traced; the same in every service."""

    @field_validator("otlp_endpoint", "otlp_traces_endpoint")
    @classmethod
    def _is_a_collector(cls, url: str) -> str:
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("must be an absolute http or https URL")
        return url

    @property
    def traces_url(self) -> str:
        """Empty: no traces."""
        base = self.otlp_endpoint.rstrip("/")
        return self.otlp_traces_endpoint or (base and f"{base}/v1/traces")


class ChainSettings(ServiceSettings):
    """What the services share that have a chain of providers."""

    left_alone_s: float = Field(60.0, ge=0)
    """A provider that has failed too often is left alone so long at most. 0: it is tried every time."""


class ProviderOptions(BaseSettings):
    """What one provider can be told: a subclass in the provider's own file, read when it is opened.

    Its fields have the vendor's own names in the environment (`ELEVENLABS_API_KEY`) by `validation_alias`.
    """

    model_config = SettingsConfigDict(
        env_prefix="CALLBOT_", frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    @classmethod
    def of_environment(cls) -> Self:
        """Raises SettingsError, which names each wrong variable without its value."""
        try:
            return cls()
        except ValidationError as e:
            raise SettingsError(wrong_settings(e, cls)) from None


def wrong_settings(error: ValidationError, of: type[BaseSettings]) -> str:
    """Each variable that is wrong, by the name that it has in the environment, without its value."""
    told = []
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        name = str(one["loc"][0]) if one["loc"] else ""
        field = of.model_fields.get(name)
        # An alias is a variable's whole name, and is what the error has then.
        variable = f"{of.model_config.get('env_prefix', '')}{name}".upper() if field else name
        sentence = one["msg"].removeprefix("Value error, ")
        told.append(f"{variable}: {sentence}" if variable else sentence)
    return "; ".join(told)


class PublicSettings(ServiceSettings):
    """What the services that deal with users and with Twilio share."""

    auth: Literal["open", "required"] = "required"
    """`open`: a request without credentials acts as the user `public`; for this machine only."""
    public_url: str = "http://127.0.0.1:8080"
    """Where Twilio reaches us; every URL that we give it begins with this, and its signatures cover it."""

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in ("https", "http"):
            raise ValueError("must be an absolute URL")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("must be https: Twilio opens media streams over TLS only")
        return url.rstrip("/")
