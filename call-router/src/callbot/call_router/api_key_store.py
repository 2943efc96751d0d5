"""API keys in the database, hashed. Collection `api_keys`.

A key is `cbk_{22 letters}_{secret}`: found by the letters, proved by the secret. The secret has 256 random
bits, so that a plain SHA-256 of it tells nothing; a slow hash is for what people think up.
"""

import hashlib
import hmac
import re
import secrets
import string

from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database
from callbot.schemas.message import Message, Timestamp, UserId
from callbot.schemas.users import KeyId

ID_LETTERS = string.ascii_letters + string.digits
ID_LENGTH = 22
SECRET_BYTES = 32
_KEY = re.compile(r"cbk_([A-Za-z0-9]{22})_([A-Za-z0-9_-]{43})")


class StoredApiKey(Message):
    key_id: KeyId
    user_id: UserId
    name: str
    secret_sha256: str
    """Hexadecimal."""
    created_at: Timestamp


def new_secret() -> tuple[str, str, str]:
    """The key's id, the key as its owner shows it, and what we keep of its secret."""
    letters = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return f"key_{letters}", f"cbk_{letters}_{secret}", _sha256(secret)


def split_key(key: str) -> tuple[str, str] | None:
    """Its id and its secret; None when this is no key of ours."""
    parts = _KEY.fullmatch(key)
    return (f"key_{parts[1]}", parts[2]) if parts else None


def secret_matches(secret: str, kept_sha256: str) -> bool:
    return hmac.compare_digest(_sha256(secret), kept_sha256)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class ApiKeyStore:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._keys = database.collection("api_keys")

    async def prepare(self) -> None:
        await self._keys.index([("key_id", 1)], unique=True)
        await self._keys.index([("user_id", 1), ("slot", 1)], unique=True)

    async def add(self, key: StoredApiKey, limit: int) -> bool:
        """False: the user has `limit` keys. Each key has a slot, which a unique index gives to one only."""
        taken = {found["slot"] for found in await self._keys.many({"user_id": key.user_id})}
        for slot in range(limit):
            if slot in taken:
                continue
            try:
                await self._keys.insert({**key.model_dump(), "slot": slot, "schema_version": SCHEMA_VERSION})
            except AlreadyThere:
                continue
            return True
        return False

    async def get(self, key_id: str) -> StoredApiKey | None:
        found = await self._keys.one({"key_id": key_id})
        return None if found is None else StoredApiKey.model_validate(found)

    async def of_user(self, user_id: str) -> list[StoredApiKey]:
        """Oldest first."""
        found = await self._keys.many({"user_id": user_id}, sort=[("created_at", 1), ("key_id", 1)])
        return [StoredApiKey.model_validate(key) for key in found]

    async def remove(self, user_id: str, key_id: str) -> bool:
        return await self._keys.remove({"user_id": user_id, "key_id": key_id})
