"""Where the next page of a list begins: behind a time and an id."""

import base64
import re
from datetime import UTC, datetime, timedelta

from callbot.runtime.errors import Refused

_CURSOR = re.compile(r"([0-9]{1,14})\.([A-Za-z0-9_-]{1,64})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def cursor_of(at: datetime, last_id: str) -> str:
    """`at` to the millisecond, as the database keeps it."""
    told = f"{(at - _EPOCH) // _MS}.{last_id}"
    return base64.urlsafe_b64encode(told.encode()).rstrip(b"=").decode()


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """Raises Refused(`invalid_request`)."""
    try:
        told = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        if parts := _CURSOR.fullmatch(told):
            return _EPOCH + int(parts[1]) * _MS, parts[2]
    except (ValueError, OverflowError):
        # Neither base64, nor ASCII, nor a time that there is.
        pass
    raise Refused("invalid_request", "cursor: is not one of ours", {"field": "cursor"})
