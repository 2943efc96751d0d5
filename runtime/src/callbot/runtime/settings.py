"""The environment, read once, into one frozen class for each service."""

import ipaddress
import secrets
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

WebhookHttp = Literal["never", "loopback"]
"""Whether a customer's webhook may be http: `loopback` allows it to this machine."""


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
