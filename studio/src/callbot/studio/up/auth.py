"""Who may use the API of a platform that listens on a host."""

from typing import Literal

from callbot.runtime.settings import is_loopback


def auth_mode(host: str, wanted: Literal["open", "required"] | None) -> Literal["open", "required"]:
    """`open` on loopback unless the environment says otherwise; any other host requires authentication."""
    return (wanted or "open") if is_loopback(host) else "required"
