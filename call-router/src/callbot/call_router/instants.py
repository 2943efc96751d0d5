"""Now, and which day that is for somebody."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def utc_now() -> datetime:
    """To the millisecond, as the database keeps it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def day_in(timezone: str, at: datetime) -> str:
    """The date there, `2026-11-21`; in UTC for a time zone that this machine does not know."""
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return at.astimezone(UTC).date().isoformat()
    return at.astimezone(zone).date().isoformat()
