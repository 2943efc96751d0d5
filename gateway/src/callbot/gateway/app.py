"""The gateway's routes."""

import asyncio

from aiohttp import web

from callbot.gateway import voice, voice_next
from callbot.gateway.api import documents, handling, routes
from callbot.gateway.api.bodies import LARGEST_BYTES
from callbot.gateway.api.events import call_events
from callbot.gateway.api.recordings import call_recording
from callbot.gateway.api.viewers import Viewers
from callbot.gateway.calls import Calls
from callbot.gateway.errors import Handler, errors_as_json, expectation, mark_response
from callbot.gateway.hosts import only_our_hosts
from callbot.gateway.keys import BUS, CALLS, DOWNLOADS, SETTINGS, VIEWERS
from callbot.gateway.media_socket import media_stream
from callbot.gateway.settings import Settings
from callbot.runtime.bus import Bus

ROUTES: list[tuple[str, str, Handler]] = [
    *((route.method, route.path, handling.handler_of(route)) for route in routes.ROUTES),
    ("GET", "/calls/{call_id}/events", call_events),
    ("GET", "/calls/{call_id}/recording", call_recording),
    ("*", "/voice", voice.voice),
    ("*", "/voice/next", voice_next.voice_next),
    ("*", "/voice/fallback", voice.voice_fallback),
    ("*", "/voice/status", voice_next.voice_status),
    ("GET", "/voice/stream/{bot_id}", media_stream),
    ("GET", "/openapi.yaml", documents.openapi_yaml),
    ("GET", "/openapi.json", documents.openapi_json),
    ("GET", "/docs", documents.swagger_page),
    ("GET", "/docs/{asset}", documents.swagger_asset),
    ("GET", "/docs/", documents.to_docs),
]
"""Each exists under `/v1` and, as in the first document, without a prefix."""
ANY_METHOD = ("GET", "POST")
"""Twilio's choice: whichever the number is configured with."""
NO_HEAD = {call_events, media_stream}
"""They do something, or never end: RFC 9110 wants HEAD where GET only reads."""


def make_app(settings: Settings, bus: Bus, calls: Calls) -> web.Application:
    app = web.Application(middlewares=[errors_as_json, only_our_hosts], client_max_size=LARGEST_BYTES)
    app[SETTINGS] = settings
    app[BUS] = bus
    app[CALLS] = calls
    app[VIEWERS] = Viewers(settings.max_event_streams)
    app[DOWNLOADS] = asyncio.Semaphore(settings.max_downloads)
    app.on_response_prepare.append(mark_response)
    app.on_shutdown.append(_stop_viewers)
    for method, path, handler in ROUTES:
        for prefix in ("/v1", ""):
            _add(app, method, prefix + path, handler)
    _add(app, "GET", "/stream/{bot_id}", media_stream)
    _add(app, "GET", "/", documents.to_docs)
    return app


def _add(app: web.Application, method: str, path: str, handler: Handler) -> None:
    methods = ANY_METHOD if method == "*" else (method,)
    if method == "GET" and handler not in NO_HEAD:
        methods = ("GET", "HEAD")
    for one in methods:
        app.router.add_route(one, path, handler, expect_handler=expectation)


async def _stop_viewers(app: web.Application) -> None:
    app[VIEWERS].stop()
