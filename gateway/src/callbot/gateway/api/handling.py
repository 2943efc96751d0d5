"""One handler for every route of the table: translate, ask call-router, translate back."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from callbot.gateway.api.credentials import credential_of
from callbot.gateway.api.routes import Route
from callbot.gateway.errors import ApiError, Handler, invalid, request_id
from callbot.gateway.keys import BUS
from callbot.schemas.message import Message

NEVER_EMPTY = {"webhook_secret", "rate_limit"}
NO_SUCH = {"bot_id": "bot", "call_id": "call", "key_id": "key"}


def handler_of(route: Route) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        question = await _question(route, request)
        answer = await request.app[BUS].ask(route.row, question, timeout_s=route.within_s)
        return _shown(route, request, answer)

    return handle


async def _question(route: Route, request: web.Request) -> Message:
    fields: dict[str, Any] = dict(request.match_info)
    if route.public:
        fields["address"] = request.remote or ""
    else:
        fields["credential"] = credential_of(request)
    fields |= {name: request.query[name] for name in route.query if name in request.query}
    if route.body is not None:
        field, model = route.body
        fields[field] = await _body(request, model)
    try:
        question: Message = route.row.message.model_validate(fields)
    except ValidationError as e:
        for wrong in e.errors():
            if (what := NO_SUCH.get(str(wrong["loc"][0]))) and wrong["loc"][0] in request.match_info:
                raise ApiError(404, f"{what}_not_found", f"There is no such {what}.") from e
        raise invalid(e) from e
    return question


async def _body(request: web.Request, model: type[Message]) -> Message:
    if request.content_type != "application/json":
        raise ApiError(415, "unsupported_media_type", "Content-Type must be application/json.")
    raw = await request.read()
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        raise ApiError(400, "invalid_request", f"The body is not JSON: {e}") from e
    if not isinstance(parsed, dict):
        raise ApiError(400, "invalid_request", "body: must be a JSON object")
    try:
        return model.model_validate(parsed)
    except ValidationError as e:
        raise invalid(e) from e


def _shown(route: Route, request: web.Request, answer: Message) -> web.Response:
    body: Mapping[str, Any] = answer.model_dump(mode="json", by_alias=True)
    headers = {"X-Request-Id": request_id(request)}
    if route.lists:
        if following := body.get("next_cursor"):
            query = {**request.query, "cursor": following}
            headers["Link"] = f'<{URL(request.path).with_query(query)}>; rel="next"'
        return web.json_response(body[route.lists], headers=headers)
    shown = {k: v for k, v in body.items() if v is not None or k not in NEVER_EMPTY}
    return web.json_response(shown, status=route.status, headers=headers, dumps=json.dumps)
