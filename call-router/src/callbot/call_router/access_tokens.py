"""Access tokens: JWTs (RFC 7519) signed with HS256, that any replica with the same ring can check alone.

Checked as RFC 8725 asks: the algorithm is pinned, issuer and audience must be ours, `kid` only picks among
the keys of the ring.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt

from callbot.runtime.keyring import KeyRing
from callbot.schemas.message import UserId

ISSUER = "callbot"
AUDIENCE = "callbot-api"
ALGORITHM = "HS256"
CLOCK_SKEW = timedelta(seconds=30)
"""How far the clocks of two replicas may be apart."""
_CLAIMS = ("sub", "iat", "exp", "iss", "aud")


@dataclass(frozen=True)
class AccessTokens:
    ring: KeyRing
    valid_s: int = 3600

    def issue(self, user_id: UserId, now: datetime | None = None) -> str:
        key_id, key = self.ring.newest
        issued_at = now or datetime.now(UTC)
        claims = {
            "sub": user_id,
            "iat": issued_at,
            "exp": issued_at + timedelta(seconds=self.valid_s),
            "iss": ISSUER,
            "aud": AUDIENCE,
        }
        return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": key_id})

    def user_of(self, token: str) -> UserId | None:
        """None when this is not one of our tokens, or not one of today's."""
        try:
            key = self.ring.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=CLOCK_SKEW,
                options={"require": list(_CLAIMS), "strict_aud": True},
            )
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError):
            # Not only PyJWTError: its releases differ in what of json's and int's errors they let through.
            return None
        return str(claims["sub"])
