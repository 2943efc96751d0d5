"""Answers what the API asks about users and their API keys."""

from callbot.runtime.errors import Refused
from callbot.schemas.message import UserId
from callbot.schemas.users import (
    AccessToken,
    ApiKeyList,
    ApiKeyRef,
    CreateApiKey,
    Done,
    GetMe,
    IssueToken,
    ListApiKeys,
    Me,
    NewApiKey,
    SignedUp,
    SignUp,
    UpdateMe,
)


class Users:
    async def sign_up(self, question: SignUp) -> SignedUp:
        raise Refused("internal_error", "not built yet")

    async def token(self, question: IssueToken) -> AccessToken:
        raise Refused("internal_error", "not built yet")

    async def get(self, user_id: UserId, question: GetMe) -> Me:
        raise Refused("internal_error", "not built yet")

    async def update(self, user_id: UserId, question: UpdateMe) -> Me:
        raise Refused("internal_error", "not built yet")


class ApiKeys:
    async def create(self, user_id: UserId, question: CreateApiKey) -> NewApiKey:
        raise Refused("internal_error", "not built yet")

    async def list(self, user_id: UserId, question: ListApiKeys) -> ApiKeyList:
        raise Refused("internal_error", "not built yet")

    async def delete(self, user_id: UserId, question: ApiKeyRef) -> Done:
        raise Refused("internal_error", "not built yet")
