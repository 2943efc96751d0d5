"""What is no HTTP request gets an error of our shape too, not aiohttp's own text.

aiohttp answers a request that its parser refuses (a request line over 8 KB, a broken header or chunk) before
any middleware sees it, with its version in `Server` and a traceback in the log.
"""

import logging

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from callbot.gateway.errors import ApiError, as_json, mark_headers

log = logging.getLogger(__name__)


class _Protocol(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        reason = type(exc).__name__ if exc else ""
        log.warning("not a request", extra={"status": status, "reason": reason, "remote": request.remote})
        if request.writer.output_size > 0:
            raise ConnectionError("part of another answer has been sent")
        if status >= 500:
            error = ApiError(500, "internal_error", "Something went wrong on our side.")
        else:
            error = ApiError(status, "invalid_request", "This is not a request that can be read.")
        assert isinstance(request, web.Request)
        response = as_json(request, error)
        # No route has been found: the signal that marks other answers is not sent.
        mark_headers(request, response)
        response.force_close()
        return response


class _Server(Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp has no hook for its protocol class."""

    async def _make_server(self) -> Server:
        server = await super()._make_server()
        server.__class__ = _Server
        return server
