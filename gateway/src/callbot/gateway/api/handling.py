"""One handler for every route of the table: translate, ask call-router, translate back."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from callbot.gateway.api.bodies import json_object
from callbot.gateway.api.client_address import client_address
from callbot.gateway.api.credentials import credential_of
from callbot.gateway.api.routes import ROUTER_WITHIN_S, Route
from callbot.gateway.errors import NEVER_KEPT, ApiError, Handler, invalid, json_answer, limit_headers, wrong
from callbot.gateway.keys import BUS
from callbot.runtime.bus import Bus
from callbot.schemas.message import Message

NEVER_EMPTY = {"webhook_secret"}
NO_SUCH = {"bot_id": "bot", "call_id": "call", "key_id": "key"}
LOOK_AT_LINK_EVERY_S = 0.25
_WHOLE = re.compile(r"[0-9]{1,9}")
_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
_OUR_TAG = re.compile(r'"([0-9]{1,15})"')


def handler_of(route: Route) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        question = await _question(route, request)
        return _shown(route, request, await _asked(request.app[BUS], route, question))

    return handle


async def _question(route: Route, request: web.Request) -> Message:
    fields: dict[str, Any] = dict(request.match_info)
    if route.public:
        fields["address"] = client_address(request)
    else:
        fields["credential"] = credential_of(request)
    fields |= _parameters(route, request)
    if route.if_match:
        fields |= _if_match(route.if_match, request)
    if route.body is not None:
        field, model = route.body
        fields[field] = await _body(request, model, may_miss=route.body_may_miss)
    try:
        question: Message = route.row.message.model_validate(fields)
    except ValidationError as e:
        for one in e.errors(include_input=False):
            if (what := NO_SUCH.get(str(one["loc"][0]))) and one["loc"][0] in request.match_info:
                raise ApiError(404, f"{what}_not_found", f"There is no such {what}.") from e
        raise invalid(e) from e
    return question


def _parameters(route: Route, request: web.Request) -> dict[str, str]:
    """Those of the query that the route knows; others are ignored. Raises ApiError 400 for a repeated one."""
    found: dict[str, str] = {}
    for name in route.query:
        values = request.query.getall(name, [])
        if len(values) > 1:
            raise wrong(name, "is given more than once")
        if values:
            found[name] = values[0]
    if not _WHOLE.fullmatch(found.get("limit", "0")):
        raise wrong("limit", "must be a whole number")
    return found


def _if_match(field: str, request: web.Request) -> dict[str, int]:
    """RFC 9110, section 13.1.1: `*` is any version; one that we never gave, or a weak one, is no match."""
    told = ",".join(request.headers.getall("If-Match", ())).strip()
    if not told or told == "*":
        return {}
    if ours := _OUR_TAG.fullmatch(told):
        return {field: int(ours[1])}
    if _ENTITY_TAG.fullmatch(told):
        raise ApiError(412, "precondition_failed", "If-Match: this version is not the current one")
    raise wrong("If-Match", "must be one entity tag, in quotes, or *")


async def _body(request: web.Request, model: type[Message], *, may_miss: bool) -> Message:
    parsed = await json_object(request, may_miss=may_miss)
    try:
        return model.model_validate(parsed)
    except ValidationError as e:
        raise invalid(e) from e


async def _asked(bus: Bus, route: Route, question: Message) -> Message:
    """Raises BusError. Where an answer may take long, a link that is lost is noticed before that."""
    answer: Message
    if route.within_s <= ROUTER_WITHIN_S:
        answer = await bus.ask(route.row, question, timeout_s=route.within_s)
        return answer
    asking = asyncio.create_task(bus.ask(route.row, question, timeout_s=route.within_s))
    try:
        while not (await asyncio.wait({asking}, timeout=LOOK_AT_LINK_EVERY_S))[0]:
            bus.require_link()
        answer = asking.result()
        return answer
    finally:
        asking.cancel()


def _shown(route: Route, request: web.Request, answer: Message) -> web.Response:
    body: Mapping[str, Any] = answer.model_dump(mode="json", by_alias=True)
    headers = dict(NEVER_KEPT)
    if route.lists:
        if following := body.get("next_cursor"):
            known = {name: request.query[name] for name in route.query if name in request.query}
            headers["Link"] = f'<{URL(request.path).with_query({**known, "cursor": following})}>; rel="next"'
        return json_answer(body[route.lists], headers=headers)
    if route.etag:
        headers["ETag"] = f'"{body[route.etag]}"'
    headers |= limit_headers(body.get("rate_limit") or {})
    shown = {
        name: value
        for name, value in body.items()
        if name != "rate_limit" and not (value is None and name in NEVER_EMPTY)
    }
    return json_answer(shown, status=route.status, headers=headers)
