"""The REST API of bots: translate, ask call-router, translate back."""

from typing import TypeVar

import orjson
from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from callbot.gateway.errors import ApiError, invalid, request_id
from callbot.gateway.keys import BUS
from callbot.schemas.bots import BotDefinition, BotPatch, BotRef, CreateBot, ListBots, UpdateBot
from callbot.schemas.calls import CallRef
from callbot.schemas.message import Message
from callbot.schemas.subjects import BOT_CREATE, BOT_DELETE, BOT_GET, BOT_LIST, BOT_UPDATE, CALL_GET

B = TypeVar("B", bound=Message)
ROUTER_WITHIN_S = 2.0
OPEN_MODE_USER = "public"
"""Who calls when `CALLBOT_AUTH=open`."""
NEVER_EMPTY = {"webhook_secret"}


async def create_bot(request: web.Request) -> web.Response:
    definition = await _body(request, BotDefinition)
    question = CreateBot(user_id=OPEN_MODE_USER, definition=definition)
    bot = await request.app[BUS].ask(BOT_CREATE, question, timeout_s=ROUTER_WITHIN_S)
    return _shown(request, bot)


async def list_bots(request: web.Request) -> web.Response:
    try:
        query = {k: request.query[k] for k in ("limit", "cursor") if k in request.query}
        question = ListBots.model_validate({"user_id": OPEN_MODE_USER, **query})
    except ValidationError as e:
        raise invalid(e) from e
    page = await request.app[BUS].ask(BOT_LIST, question, timeout_s=ROUTER_WITHIN_S)
    headers = {"X-Request-Id": request_id(request)}
    if page.next_cursor:
        following = URL(request.path).with_query(limit=question.limit, cursor=page.next_cursor)
        headers["Link"] = f'<{following}>; rel="next"'
    return web.json_response([b.model_dump(mode="json") for b in page.bots], headers=headers)


async def get_bot(request: web.Request) -> web.Response:
    bot = await request.app[BUS].ask(BOT_GET, _ref(request), timeout_s=ROUTER_WITHIN_S)
    return _shown(request, bot)


async def update_bot(request: web.Request) -> web.Response:
    ref = _ref(request)
    changes = await _body(request, BotPatch)
    question = UpdateBot(user_id=ref.user_id, bot_id=ref.bot_id, changes=changes)
    bot = await request.app[BUS].ask(BOT_UPDATE, question, timeout_s=ROUTER_WITHIN_S)
    return _shown(request, bot)


async def delete_bot(request: web.Request) -> web.Response:
    deleted = await request.app[BUS].ask(BOT_DELETE, _ref(request), timeout_s=ROUTER_WITHIN_S)
    return _shown(request, deleted)


async def get_call(request: web.Request) -> web.Response:
    try:
        ref = CallRef(user_id=OPEN_MODE_USER, call_id=request.match_info["call_id"])
    except ValidationError as e:
        raise ApiError(404, "call_not_found", "There is no such call.") from e
    call = await request.app[BUS].ask(CALL_GET, ref, timeout_s=ROUTER_WITHIN_S)
    return _shown(request, call)


def _ref(request: web.Request) -> BotRef:
    try:
        return BotRef(user_id=OPEN_MODE_USER, bot_id=request.match_info["bot_id"])
    except ValidationError as e:
        raise ApiError(404, "bot_not_found", "There is no such bot.") from e


async def _body(request: web.Request, model: type[B]) -> B:
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


def _shown(request: web.Request, message: Message) -> web.Response:
    body = message.model_dump(mode="json", by_alias=True)
    body = {k: v for k, v in body.items() if v is not None or k not in NEVER_EMPTY}
    return web.json_response(body, headers={"X-Request-Id": request_id(request)})
