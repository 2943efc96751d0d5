"""Who asks: the user behind a bearer token, an API key, or nothing at all in open mode."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from callbot.runtime.errors import Refused
from callbot.schemas.message import UserId, Wire
from callbot.schemas.users import OPEN_MODE_USER, AsUser, Credential

Q = TypeVar("Q", bound=AsUser)
A = TypeVar("A", bound=Wire)


class Identity:
    def __init__(self, *, open_mode: bool) -> None:
        self._open_mode = open_mode

    async def user_of(self, credential: Credential) -> UserId:
        """Raises Refused(`unauthorized`), StoreUnavailable."""
        if credential.kind == "none" and self._open_mode:
            return OPEN_MODE_USER
        raise Refused("unauthorized", "Credentials are missing or not valid.")


def as_user(identity: Identity, answer: Callable[[UserId, Q], Awaitable[A]]) -> Callable[[Q], Awaitable[A]]:
    """A question of the API is answered for the user whom its credential shows."""

    async def answering(question: Q) -> A:
        return await answer(await identity.user_of(question.credential), question)

    return answering
