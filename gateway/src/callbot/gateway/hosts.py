"""In open mode nobody has to say who they are: then only pages of this machine may ask.

A page elsewhere can let its own name point to 127.0.0.1 (DNS rebinding); its requests still carry that name.
An image or a form on such a page carries no origin, but browsers say that it comes from another site
(https://www.w3.org/TR/fetch-metadata/).
"""

from urllib.parse import urlsplit

from aiohttp import web

from callbot.gateway.errors import ApiError, Handler
from callbot.gateway.keys import SETTINGS
from callbot.runtime.settings import is_loopback


@web.middleware
async def only_our_hosts(request: web.Request, handler: Handler) -> web.StreamResponse:
    settings = request.app[SETTINGS]
    if settings.auth == "open":
        ours = urlsplit(settings.public_url).hostname
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and "Origin" not in request.headers:
            raise ApiError(421, "misdirected_request", "Pages of other sites are not served here.")
        # `request.host` would look our own name up where there is none.
        for name in (
            request.headers.get("Host") or "nobody",
            *map(_asking, request.headers.getall("Origin", ())),
        ):
            if not (is_loopback(_host(name)) or _host(name) == ours):
                raise ApiError(421, "misdirected_request", "This host is not served here.")
    return await handler(request)


def _asking(origin: str) -> str:
    """`null` is a page that hides where it is from, such as a frame in a sandbox: no host of ours."""
    try:
        return urlsplit(origin).netloc or origin
    except ValueError:
        return origin


def _host(netloc: str) -> str:
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""
