"""How often an address or an account has tried to sign up or in. Collection `auth_attempts`.

Counted in fixed windows, in one operation each, so that any number of replicas counts right; a document ends
by itself after its window.
"""

import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database, Document
from callbot.call_router.instants import utc_now
from callbot.runtime.errors import Refused
from callbot.schemas.users import RateLimit

WINDOW_S = 900
IPV6_PREFIX = 64
"""What one subscriber has at least (RFC 6177): its addresses count as one."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Taken:
    """One attempt that was allowed."""

    key: str
    rate_limit: RateLimit


class AttemptStore:
    """Every method raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._attempts = database.collection("auth_attempts")

    async def prepare(self) -> None:
        await self._attempts.index([("key", 1)], unique=True)
        await self._attempts.index([("expires_at", 1)], expire_after_s=0)

    async def take(self, key: str, limit: int, expires_at: datetime) -> int | None:
        """How many have been taken with this one; None, and no change, when there were `limit` before."""
        first: Document = {"key": key, "count": 1, "expires_at": expires_at, "schema_version": SCHEMA_VERSION}
        one_more = {"key": key, "count": {"$lt": limit}}
        found: Document | None = await self._attempts.change(one_more, {"$inc": {"count": 1}})
        if found is None:
            try:
                await self._attempts.insert(first)
            except AlreadyThere:
                # Full, or another replica has just begun the window.
                found = await self._attempts.change(one_more, {"$inc": {"count": 1}})
            else:
                found = first
        return None if found is None else int(found["count"])

    async def give_back(self, key: str) -> None:
        await self._attempts.update({"key": key, "count": {"$gt": 0}}, {"$inc": {"count": -1}})


class Attempts:
    """Raises Refused(`rate_limited`) with the fields of RateLimit and `retry_after_s` in its details."""

    def __init__(
        self,
        store: AttemptStore,
        *,
        per_address: int,
        per_account: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._per_address = per_address
        self._per_account = per_account
        self._now = now

    async def by_address(self, address: str) -> Taken:
        return await self._taken(f"address {network_of(address)}", self._per_address)

    async def for_account(self, email: str) -> Taken:
        """Whether anybody has this address or not. An attempt that succeeds is given back."""
        # Hashed: what somebody typed need not lie in the database.
        return await self._taken(f"account {hashlib.sha256(email.encode()).hexdigest()}", self._per_account)

    async def give_back(self, taken: Taken) -> None:
        await self._store.give_back(taken.key)

    async def _taken(self, whose: str, limit: int) -> Taken:
        now = self._now()
        window = int((now - _EPOCH).total_seconds()) // WINDOW_S
        ends_at = _EPOCH + timedelta(seconds=(window + 1) * WINDOW_S)
        reset_s = max(1, int((ends_at - now).total_seconds()))
        key = f"{whose} {window}"
        count = await self._store.take(key, limit, ends_at)
        if count is None:
            raise _rate_limited(limit, reset_s)
        return Taken(key, RateLimit(limit=limit, remaining=limit - count, reset_s=reset_s))


def network_of(address: str) -> str:
    """Whose attempts count as one: an IPv4 address, a /64 of IPv6, or the text itself when it is neither."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((int(found), IPV6_PREFIX), strict=False))
        found = found.ipv4_mapped
    return str(found)


def _rate_limited(limit: int, reset_s: int) -> Refused:
    return Refused(
        "rate_limited",
        f"Too many attempts. Please try again in {reset_s} seconds.",
        {"limit": str(limit), "remaining": "0", "reset_s": str(reset_s), "retry_after_s": str(reset_s)},
    )
