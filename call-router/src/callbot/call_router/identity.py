"""Who asks: the user behind a bearer token, an API key, or nothing at all in open mode."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from callbot.call_router.access_tokens import AccessTokens
from callbot.call_router.api_key_store import ApiKeyStore, secret_matches, split_key
from callbot.runtime.errors import Refused
from callbot.schemas.message import UserId, Wire
from callbot.schemas.users import OPEN_MODE_USER, UNAUTHORIZED, AsUser, Credential

Q = TypeVar("Q", bound=AsUser)
A = TypeVar("A", bound=Wire)


class Identity:
    def __init__(self, tokens: AccessTokens, api_keys: ApiKeyStore, *, open_mode: bool) -> None:
        self._tokens = tokens
        self._api_keys = api_keys
        self._open_mode = open_mode

    async def user_of(self, credential: Credential) -> UserId:
        """Raises Refused(`unauthorized`), StoreUnavailable.

        A wrong credential is refused in open mode too: whoever shows one means to be somebody.
        """
        user_id = await self._shown_by(credential)
        # Keys that were made in open mode end with it.
        if user_id is None or (user_id == OPEN_MODE_USER and not self._open_mode):
            raise unauthorized()
        return user_id

    async def _shown_by(self, credential: Credential) -> UserId | None:
        if credential.kind == "bearer":
            return self._tokens.user_of(credential.value)
        if credential.kind == "api_key":
            return await self._owner_of(credential.value)
        return OPEN_MODE_USER

    async def _owner_of(self, key: str) -> UserId | None:
        if (parts := split_key(key)) is None:
            return None
        key_id, secret = parts
        stored = await self._api_keys.get(key_id)
        return stored.user_id if stored and secret_matches(secret, stored.secret_sha256) else None


def unauthorized() -> Refused:
    return Refused("unauthorized", UNAUTHORIZED)


def as_user(identity: Identity, answer: Callable[[UserId, Q], Awaitable[A]]) -> Callable[[Q], Awaitable[A]]:
    """A question of the API is answered for the user whom its credential shows."""

    async def answering(question: Q) -> A:
        return await answer(await identity.user_of(question.credential), question)

    return answering
