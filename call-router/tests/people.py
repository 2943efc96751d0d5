"""What a user does over the bus."""

from typing import Any

import pytest

from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.subjects import KEY_CREATE, USER_GET, USER_SIGN_UP, USER_TOKEN
from callbot.schemas.users import (
    AccessToken,
    ApiKeyBody,
    CreateApiKey,
    Credential,
    GetMe,
    IssueToken,
    Me,
    NewApiKey,
    SignedUp,
    SignUp,
    SignUpBody,
    TokenBody,
)

from .conftest import ASK_S

PASSWORD = "correct horse"
HOME = "192.0.2.1"


def signing_up(email: str, password: str = PASSWORD, address: str = HOME, **fields: str) -> SignUp:
    return SignUp(body=SignUpBody(email=email, password=password, **fields), address=address)


def asking(email: str, password: str = PASSWORD, address: str = HOME) -> IssueToken:
    return IssueToken(body=TokenBody(email=email, password=password), address=address)


async def sign_up(gateway: Bus, email: str, **fields: str) -> SignedUp:
    return await gateway.ask(USER_SIGN_UP, signing_up(email, **fields), timeout_s=ASK_S)


async def token(gateway: Bus, email: str, password: str = PASSWORD) -> AccessToken:
    return await gateway.ask(USER_TOKEN, asking(email, password), timeout_s=ASK_S)


async def me(gateway: Bus, credential: Credential) -> Me:
    return await gateway.ask(USER_GET, GetMe(credential=credential), timeout_s=ASK_S)


async def key(gateway: Bus, credential: Credential, name: str = "a key") -> NewApiKey:
    question = CreateApiKey(credential=credential, body=ApiKeyBody(name=name))
    return await gateway.ask(KEY_CREATE, question, timeout_s=ASK_S)


async def refusal(asked: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        await asked
    return refused.value
