"""Answers what the API asks about API keys."""

from collections.abc import Callable
from datetime import datetime

from callbot.call_router.api_key_store import ApiKeyStore, StoredApiKey, new_secret
from callbot.call_router.instants import utc_now
from callbot.runtime.errors import Refused
from callbot.schemas.message import UserId
from callbot.schemas.users import (
    ApiKey,
    ApiKeyList,
    ApiKeyRef,
    CreateApiKey,
    Done,
    ListApiKeys,
    NewApiKey,
)


class ApiKeys:
    def __init__(self, store: ApiKeyStore, limit: int, now: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._limit = limit
        self._now = now

    async def create(self, user_id: UserId, question: CreateApiKey) -> NewApiKey:
        key_id, key, sha256 = new_secret()
        stored = StoredApiKey(
            key_id=key_id,
            user_id=user_id,
            name=question.body.name,
            secret_sha256=sha256,
            created_at=self._now(),
        )
        if not await self._store.add(stored, self._limit):
            raise Refused("key_limit", f"A user may have {self._limit} API keys. Delete one first.")
        return NewApiKey(id=key_id, name=stored.name, created_at=stored.created_at, key=key)

    async def list(self, user_id: UserId, question: ListApiKeys) -> ApiKeyList:
        """Oldest first, without the keys themselves."""
        found = await self._store.of_user(user_id)
        return ApiKeyList(
            api_keys=[ApiKey(id=key.key_id, name=key.name, created_at=key.created_at) for key in found]
        )

    async def delete(self, user_id: UserId, question: ApiKeyRef) -> Done:
        if not await self._store.remove(user_id, question.key_id):
            raise Refused("key_not_found", "There is no such key.")
        return Done(message="API key deleted")
