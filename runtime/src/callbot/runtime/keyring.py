"""Keys by id, from the environment: the first one is used for what is new, the others for what is old."""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

KEY_BYTES = 32
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,16}")


@dataclass(frozen=True)
class KeyRing:
    """An old key stays behind the first one until nothing made with it is needed any more."""

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
            if not _KEY_ID.fullmatch(key_id) or key_id in keys or len(key) < KEY_BYTES:
                raise ValueError(f"wanted kid:base64,… with at least {KEY_BYTES} bytes a key, ids unique")
            keys[key_id] = key
        return cls(keys)

    @classmethod
    def random(cls) -> Self:
        """Of this process alone."""
        return cls({"dev": secrets.token_bytes(KEY_BYTES)})

    @property
    def newest(self) -> tuple[str, bytes]:
        return next(iter(self.keys.items()))

    def get(self, key_id: str) -> bytes | None:
        return self.keys.get(key_id)


def new_key(key_id: str) -> str:
    """One entry for a ring, as `KeyRing.parse` reads it."""
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"
