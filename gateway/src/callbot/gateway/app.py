"""The gateway's routes."""

from aiohttp import web

from callbot.gateway import voice
from callbot.gateway.api import handling, routes
from callbot.gateway.calls import Calls
from callbot.gateway.errors import errors_as_json
from callbot.gateway.hosts import only_our_hosts
from callbot.gateway.keys import BUS, CALLS, SETTINGS
from callbot.gateway.media_socket import media_stream
from callbot.gateway.settings import Settings
from callbot.runtime.bus import Bus

LARGEST_BODY_BYTES = 128 * 1024

ROUTES = [
    *((route.method, route.path, handling.handler_of(route)) for route in routes.ROUTES),
    ("*", "/voice", voice.voice),
    ("*", "/voice/next", voice.voice_next),
    ("*", "/voice/fallback", voice.voice_fallback),
    ("GET", "/voice/stream/{bot_id}", media_stream),
]
"""Each exists under `/v1` and, as in the first document, without a prefix."""


def make_app(settings: Settings, bus: Bus, calls: Calls) -> web.Application:
    app = web.Application(middlewares=[errors_as_json, only_our_hosts], client_max_size=LARGEST_BODY_BYTES)
    app[SETTINGS] = settings
    app[BUS] = bus
    app[CALLS] = calls
    for method, path, handler in ROUTES:
        for prefix in ("/v1", ""):
            methods = ("GET", "POST") if method == "*" else (method,)
            for one in methods:
                app.router.add_route(one, prefix + path, handler)
    app.router.add_get("/stream/{bot_id}", media_stream)
    return app
