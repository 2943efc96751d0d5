"""Who a request says that it comes from; call-router decides whether that is so."""

from aiohttp import web

from callbot.gateway.errors import ApiError
from callbot.gateway.keys import SETTINGS
from callbot.schemas.users import Credential

LONGEST_CREDENTIAL = 4096


def credential_of(request: web.Request) -> Credential:
    """`Authorization: Bearer` or `X-API-Key`. Raises ApiError 401 where one is needed and none is shown."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    key = request.headers.get("X-API-Key", "")
    if kind.lower() == "bearer" and 0 < len(token.strip()) <= LONGEST_CREDENTIAL:
        return Credential(kind="bearer", value=token.strip())
    if 0 < len(key) <= LONGEST_CREDENTIAL:
        return Credential(kind="api_key", value=key)
    if kind or key or request.app[SETTINGS].auth != "open":
        raise ApiError(401, "unauthorized", "Credentials are missing or not valid.")
    return Credential()
