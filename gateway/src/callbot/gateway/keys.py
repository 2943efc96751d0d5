"""The typed keys under which the application holds what its handlers need."""

import asyncio

from aiohttp import web

from callbot.gateway.api.viewers import Viewers
from callbot.gateway.calls import Calls
from callbot.gateway.settings import Settings
from callbot.runtime.bus import Bus

BUS = web.AppKey("bus", Bus)
SETTINGS = web.AppKey("settings", Settings)
CALLS = web.AppKey("calls", Calls)
VIEWERS = web.AppKey("viewers", Viewers)
DOWNLOADS = web.AppKey("downloads", asyncio.Semaphore)
