"""When OpenAI switches its chat models off.

Source: https://developers.openai.com/api/docs/deprecations, read in November 2026. What the server itself
says (`shutdown_date` of `GET /v1/models`) is looked at, too.
"""

import re
from datetime import date
from typing import Final

_SHUT_ON: Final = {
    date(2026, 10, 23): ("gpt-3.5-turbo", "gpt-4", "gpt-4-turbo", "gpt-4.1-nano", "o1", "o3-mini", "o4-mini"),
    date(2026, 12, 11): ("gpt-5", "gpt-5-mini", "gpt-5-nano", "o3"),
    date(2027, 1, 14): ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini"),
    date(2027, 4, 1): ("gpt-5.1", "gpt-5.4-nano"),
}
_SNAPSHOT: Final = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")


def shut_on(model: str) -> date | None:
    """The day, for a name with or without the date of a snapshot; None: none is known."""
    family = _SNAPSHOT.sub("", model)
    return next((day for day, families in _SHUT_ON.items() if family in families), None)
