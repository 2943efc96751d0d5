"""Stream tokens: short-lived, bound to one call and one bot. `{key id}.{issued at, ms}.{HMAC-SHA256}`."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

VALID_FOR = timedelta(seconds=60)
"""From `/voice` to the start of the stream; Twilio needs about a second."""
CLOCK_SKEW = timedelta(seconds=5)
"""How far the clocks of two replicas may be apart."""
MIN_KEY_BYTES = 32
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,16}")
_TOKEN = re.compile(r"([A-Za-z0-9_-]{1,16})\.([0-9]{1,15})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class KeyRing:
    """Keys by id. The first one signs; an old one stays behind it until nothing signed by it is valid."""

    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `kid:base64,kid:base64`. Raises ValueError, without repeating what was given."""
        keys: dict[str, bytes] = {}
        for entry in text.split(","):
            key_id, _, encoded = entry.strip().partition(":")
            try:
                key = base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
            except binascii.Error as e:
                raise ValueError("a key is not base64; wanted kid:base64,…") from e
            if not _KEY_ID.fullmatch(key_id) or key_id in keys or len(key) < MIN_KEY_BYTES:
                raise ValueError(f"wanted kid:base64,… with at least {MIN_KEY_BYTES} bytes a key, ids unique")
            keys[key_id] = key
        return cls(keys)

    @classmethod
    def random(cls) -> Self:
        return cls({"dev": secrets.token_bytes(MIN_KEY_BYTES)})

    def token(self, call_id: str, bot_id: str, issued_at: datetime) -> str:
        """The same for the same arguments."""
        key_id, key = next(iter(self.keys.items()))
        issued_ms = str(round(issued_at.timestamp() * 1000))
        return f"{key_id}.{issued_ms}.{_mac(key, key_id, issued_ms, call_id, bot_id)}"

    def verifies(self, token: str, call_id: str, bot_id: str, now: datetime) -> bool:
        """Was this token made by one of our keys for this call and bot, not long ago?"""
        parts = _TOKEN.fullmatch(token)
        if parts is None or (key := self.keys.get(parts[1])) is None:
            return False
        genuine = hmac.compare_digest(parts[3], _mac(key, parts[1], parts[2], call_id, bot_id))
        return genuine and -CLOCK_SKEW <= now - _at(int(parts[2])) <= VALID_FOR


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)


def _mac(key: bytes, key_id: str, issued_ms: str, call_id: str, bot_id: str) -> str:
    said = "|".join(("callbot stream", key_id, issued_ms, call_id, bot_id))
    digest = hmac.new(key, said.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
