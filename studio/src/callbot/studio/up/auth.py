"""Who may use the API of a platform, by where it listens and how it is reached."""

from typing import Literal
from urllib.parse import urlsplit

from callbot.runtime.settings import is_loopback

AuthMode = Literal["open", "required"]


def is_public(host: str, public_url: str | None) -> bool:
    """Whether others than this machine reach it: a tunnel that ends on loopback counts."""
    behind = public_url is not None and not is_loopback(urlsplit(public_url).hostname)
    return behind or not is_loopback(host)


def auth_mode(host: str, public_url: str | None, wanted: AuthMode | None) -> AuthMode:
    """`open` for this machine alone unless the environment says otherwise; authentication everywhere else."""
    return "required" if is_public(host, public_url) else (wanted or "open")
