"""Who may use the API of a platform that listens on a host."""

from typing import Literal

from callbot.runtime.settings import is_loopback
from callbot.studio.up.problems import CannotStart

AUTHENTICATION_EXISTS = False
"""Users, tokens and API keys are not built yet; with them this becomes True and nothing else changes here."""


def auth_mode(host: str, wanted: Literal["open", "required"] | None) -> Literal["open", "required"]:
    """`open` on loopback unless the environment says otherwise; any other host requires authentication.

    Raises CannotStart when authentication is required and there is none.
    """
    mode = (wanted or "open") if is_loopback(host) else "required"
    if mode == "required" and not AUTHENTICATION_EXISTS:
        raise CannotStart(
            f"the API on {host} would need authentication, which is not built yet: "
            "use --host 127.0.0.1 and leave CALLBOT_AUTH unset or open"
        )
    return mode
