"""Names of time zones, as the IANA database has them (RFC 6557)."""

from functools import cache
from zoneinfo import available_timezones

from callbot.runtime.errors import Refused


@cache
def _known() -> frozenset[str]:
    return frozenset(available_timezones())


def check_time_zone(name: str) -> None:
    """Raises Refused(`invalid_request`)."""
    if name not in _known():
        raise Refused(
            "invalid_request",
            "timezone: must be a name of the IANA time zone database, such as Europe/Berlin",
            {"field": "timezone"},
        )
