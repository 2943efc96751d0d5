"""The API's documents: `/openapi.yaml`, `/openapi.json`, and Swagger UI with all that it needs on board."""

import asyncio
from functools import cache
from pathlib import Path

from aiohttp import web

from callbot.gateway.api import openapi
from callbot.gateway.keys import SETTINGS

SWAGGER = Path(__file__).parents[1] / "swagger"
ASSETS = {
    "init.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
SAFE_PAGE = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""The page holds the credential that somebody typed into it: nothing of another origin runs or is asked."""


async def openapi_yaml(request: web.Request) -> web.Response:
    return await _document(request, "yaml", "application/yaml")


async def openapi_json(request: web.Request) -> web.Response:
    return await _document(request, "json", "application/json")


async def swagger_page(request: web.Request) -> web.StreamResponse:
    return _file("index.html", "text/html")


async def to_docs(request: web.Request) -> web.Response:
    """Relative, as the page's own links are: a proxy may show all of this below a path."""
    up = "../docs" if request.path.endswith("/docs/") else "docs"
    return web.Response(status=302, headers={"Location": up, "Cache-Control": "no-cache"})


async def swagger_asset(request: web.Request) -> web.StreamResponse:
    """Raises HTTPNotFound for a name that is not on the list; no path is made of what was asked."""
    name = request.match_info["asset"]
    if name not in ASSETS:
        raise web.HTTPNotFound
    return _file(name, ASSETS[name])


def _file(name: str, content_type: str) -> web.FileResponse:
    return web.FileResponse(SWAGGER / name, headers={**SAFE_PAGE, "Content-Type": content_type})


async def _document(request: web.Request, form: str, content_type: str) -> web.Response:
    is_open = request.app[SETTINGS].auth == "open"
    # In a thread: it takes some hundred milliseconds once, and calls go on in this loop.
    body = await asyncio.to_thread(_written, form, is_open=is_open)
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)


@cache
def _written(form: str, *, is_open: bool) -> bytes:
    document = openapi.document(is_open=is_open)
    return (openapi.as_yaml if form == "yaml" else openapi.as_json)(document).encode()
