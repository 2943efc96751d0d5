"""What a gateway can be told."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from callbot.runtime.settings import ServiceSettings, is_loopback


class Settings(ServiceSettings):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str = "http://127.0.0.1:8080"
    """Where Twilio reaches us; every URL that we give it begins with this."""
    auth: Literal["open", "required"] = "required"
    max_calls: int = Field(400, ge=1)
    """Calls that this gateway holds at once; the next caller hears that all lines are busy."""

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in ("https", "http"):
            raise ValueError("must be an absolute URL")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("must be https: Twilio opens media streams over TLS only")
        return url.rstrip("/")

    @property
    def stream_base(self) -> str:
        """`ws://` is for loopback only."""
        return "ws" + self.public_url.removeprefix("http")
