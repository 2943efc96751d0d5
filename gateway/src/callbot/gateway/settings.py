"""What a gateway can be told."""

from pydantic import Field

from callbot.runtime.settings import Networks, PublicSettings


class Settings(PublicSettings):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    trusted_proxies: Networks = ()
    """Whose `X-Forwarded-For` is believed when attempts are counted by address."""
    max_calls: int = Field(400, ge=1)
    """Calls that this gateway holds at once; the next caller hears that all lines are busy."""
    max_event_streams: int = Field(200, ge=1)
    """Viewers of live calls (`/v1/calls/{id}/events`) at once."""
    max_downloads: int = Field(10, ge=1)
    """Recordings that are read at once; live calls come first."""

    @property
    def stream_base(self) -> str:
        """`ws://` is for loopback only."""
        return "ws" + self.public_url.removeprefix("http")
