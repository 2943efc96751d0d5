"""The JSON of a request's body: one object, read the way in which every other reader reads it too."""

import asyncio
import json
from typing import Any

import orjson
from aiohttp import ClientPayloadError, web

from callbot.gateway.errors import CODES, ApiError, wrong

READ_WITHIN_S = 10.0
"""A client that sends one byte a minute holds a connection and a task."""
LARGEST_BYTES = 128 * 1024
DEEPEST = 32
UTF_8 = {"", "utf-8", "utf8"}


async def read_body(request: web.Request) -> bytes:
    """The whole body. Raises ApiError 400, 408 and 413."""
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            return await request.read()
    except TimeoutError as e:
        raise ApiError(408, "request_timeout", "The body did not arrive in time.") from e
    except (ConnectionError, ClientPayloadError, web.RequestPayloadError) as e:
        raise wrong("body", "broke off") from e
    except web.HTTPRequestEntityTooLarge as e:
        raise ApiError(413, CODES[413], f"The body is larger than {LARGEST_BYTES // 1024} KiB.") from e


async def json_object(request: web.Request, *, may_miss: bool = False) -> dict[str, Any]:
    """Raises ApiError 400, 408, 413 and 415.

    RFC 8259 leaves to the reader what a repeated name, NaN or a deep nesting mean: here they are errors,
    so that no two readers of one request differ.
    """
    if not may_miss:
        _require_json(request)
    raw = await read_body(request)
    if may_miss:
        if not raw:
            return {}
        _require_json(request)
    return parse_object(raw)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Raises ApiError 400."""
    try:
        # orjson takes UTF-8 only, and no NaN; json shows the names of one object as they come.
        parsed = orjson.loads(raw)
        _require_shallow(parsed)
        json.loads(raw.decode(), object_pairs_hook=_once_each, parse_int=str, parse_float=str)
    except orjson.JSONDecodeError as e:
        raise wrong("body", f"is not JSON: {e}") from e
    if not isinstance(parsed, dict):
        raise wrong("body", "must be a JSON object")
    return parsed


def _require_json(request: web.Request) -> None:
    charset = (request.charset or "").lower()
    if request.content_type != "application/json" or charset not in UTF_8:
        raise ApiError(415, "unsupported_media_type", "Content-Type must be application/json, in UTF-8.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ApiError(415, "unsupported_media_type", "The body must not be compressed.")


def _require_shallow(parsed: Any) -> None:
    level = [parsed]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    if any(isinstance(value, dict | list) for value in level):
        raise wrong("body", f"must not be nested deeper than {DEEPEST} levels")


def _once_each(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise wrong("body", "a name must not stand twice in one object")
