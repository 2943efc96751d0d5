"""Stream tokens: short-lived, bound to one call and one bot. `{key id}.{issued at, ms}.{HMAC-SHA256}`.

Signed calls: the call's id with our signature, `call=` of the action URL. `{call id}.{key id}.{HMAC-SHA256}`.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from callbot.runtime.keyring import KeyRing

VALID_FOR = timedelta(seconds=60)
"""From `/voice` to the start of the stream; Twilio needs about a second."""
CLOCK_SKEW = timedelta(seconds=30)
"""How far the clocks of two replicas may be apart."""
_TOKEN = re.compile(r"([A-Za-z0-9_-]{1,16})\.([0-9]{1,15})\.([A-Za-z0-9_-]{43})")
_SIGNED_CALL = re.compile(r"(CA[0-9a-f]{32})\.([A-Za-z0-9_-]{1,16})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class CallTokens:
    ring: KeyRing

    def token(self, call_id: str, bot_id: str, issued_at: datetime) -> str:
        """The same for the same arguments."""
        key_id, key = self.ring.newest
        issued_ms = str(round(issued_at.timestamp() * 1000))
        return f"{key_id}.{issued_ms}.{_mac(key, 'stream', key_id, issued_ms, call_id, bot_id)}"

    def verifies(self, token: str, call_id: str, bot_id: str, now: datetime) -> bool:
        """Was this token made by one of our keys for this call and bot, not long ago?"""
        parts = _TOKEN.fullmatch(token)
        if parts is None or (key := self.ring.get(parts[1])) is None:
            return False
        wanted = _mac(key, "stream", parts[1], parts[2], call_id, bot_id)
        genuine = hmac.compare_digest(parts[3], wanted)
        return genuine and -CLOCK_SKEW <= now - _at(int(parts[2])) <= VALID_FOR

    @staticmethod
    def token_id(token: str) -> str:
        """What tells two tokens of one call apart."""
        return ".".join(token.split(".")[:2])

    def signed_call(self, call_id: str) -> str:
        key_id, key = self.ring.newest
        return f"{call_id}.{key_id}.{_mac(key, 'call', key_id, call_id)}"

    def call_of(self, signed_call: str) -> str | None:
        """The call's id; None when this was not signed by one of our keys."""
        parts = _SIGNED_CALL.fullmatch(signed_call)
        if parts is None or (key := self.ring.get(parts[2])) is None:
            return None
        genuine = hmac.compare_digest(parts[3], _mac(key, "call", parts[2], parts[1]))
        return parts[1] if genuine else None


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)


def _mac(key: bytes, purpose: str, *what: str) -> str:
    said = "|".join((f"callbot {purpose}", *what))
    digest = hmac.new(key, said.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
