"""Who a request says that it comes from; call-router decides whether that is so."""

import re

from aiohttp import web

from callbot.gateway.errors import ApiError
from callbot.gateway.keys import SETTINGS
from callbot.schemas.users import UNAUTHORIZED, Credential

_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,4096}")


def credential_of(request: web.Request) -> Credential:
    """`Authorization: Bearer` or `X-API-Key`. Raises ApiError 401 where one is needed and none is shown."""
    shown = [value for value in request.headers.getall("Authorization", []) if value]
    keys = [value for value in request.headers.getall("X-API-Key", []) if value]
    if not (shown or keys) and request.app[SETTINGS].auth == "open":
        return Credential()
    if len(shown) <= 1 and len(keys) <= 1:
        kind, _, token = (shown or [""])[0].partition(" ")
        if kind.lower() == "bearer":
            if _CREDENTIAL.fullmatch(token.strip(" ")):
                return _bearer(token.strip(" "))
        elif keys and _CREDENTIAL.fullmatch(keys[0]):
            return Credential(kind="api_key", value=keys[0])
    raise ApiError(401, "unauthorized", UNAUTHORIZED)


def _bearer(token: str) -> Credential:
    """An API key is good for a bearer token too; no token of ours begins like one (RFC 7515: `eyJ`)."""
    return Credential(kind="api_key" if token.startswith("cbk_") else "bearer", value=token)
