"""Bodies that nobody should send, and those that may be left out."""

import gzip
import json
from typing import Any

import pytest

from callbot.gateway.api import bodies
from callbot.schemas.bots import WebhookTested
from callbot.schemas.subjects import BOT_CREATE, BOT_TEST

from .api_site import ApiRouter, Site, a_bot

JSON = {"Content-Type": "application/json"}
GOOD = {"goal": "Book a table", "webhook": "https://example.com/bot"}


def nested(levels: int) -> bytes:
    """An object with `levels` levels, itself the first."""
    return b'{"goal":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


BAD_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"1",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"goal": "\xff"}',
    b'{"goal": "\xed\xa0\x80"}',
    rb'{"goal": "\ud800", "webhook": "https://example.com"}',
    b"{'goal': 1}",
    b'{"goal": NaN}',
    b'{"goal": Infinity}',
    b'{"goal": -Infinity}',
    b'{"goal": 1e999}',
    b'{"goal": 01}',
    b'{"goal": "a",}',
    b'{"goal": "a"} {}',
    b'{"goal": "a\x00b"}',
    b"{}\x00",
    "{}".encode("utf-16"),
    b"[" * 20_000,
    b'{"goal":' * 10_000,
    b'{"goal": "a", "goal": "b", "webhook": "https://example.com"}',
    b'{"goal": "a", "\\u0067oal": "b", "webhook": "https://example.com"}',
    b'{"goal": {"x": [{"a": 1, "a": 1}]}}',
]


@pytest.mark.parametrize("body", BAD_BODIES)
async def test_a_body_that_readers_could_take_differently_is_none(
    site: Site, api_router: ApiRouter, body: bytes
) -> None:
    status, _, answer = await site.ask("POST", "/v1/bots", data=body, headers=JSON)
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
    (wrong,) = answer["error"]["details"]
    assert wrong["field"] == "body", "refused before anybody looks at its fields"
    assert answer["error"]["message"] == f"body: {wrong['message']}"
    assert api_router.asked == []


@pytest.mark.parametrize(
    "change",
    [
        {"goal": {"$gt": ""}},
        {"goal": "a\x00b"},
        {"max_call_seconds": 10**30},
        {"max_call_seconds": 600.0},
        {"max_call_seconds": True},
        {"$where": "1"},
        {"go\x00al": "x"},
        {"hints": ["a"] * 201},
        {"hints": [["a"]]},
    ],
)
async def test_a_field_that_is_wrong_is_named(site: Site, change: dict[str, Any]) -> None:
    status, _, answer = await site.ask("POST", "/v1/bots", json={**GOOD, **change})
    assert status == 400
    assert answer["error"]["details"][0]["field"].startswith(next(iter(change)))


def test_nesting_has_a_limit() -> None:
    assert bodies.parse_object(nested(bodies.DEEPEST))
    with pytest.raises(bodies.ApiError, match="nested deeper than 32"):
        bodies.parse_object(nested(bodies.DEEPEST + 1))


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": ""},
        {"Content-Type": "\\"},
    ],
)
async def test_another_content_type_is_refused(site: Site, headers: dict[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    body = json.dumps(GOOD)
    answer = await site.raw(
        f"POST /v1/bots HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nConnection: close\r\n{lines}"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    assert answer.split()[1] == b"415", answer


async def test_a_compressed_body_is_refused(site: Site, api_router: ApiRouter) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps(GOOD).encode())
    status, _, _ = await site.ask("POST", "/v1/bots", data=body, headers=headers)
    assert status == 415
    assert api_router.asked == []


@pytest.mark.parametrize("content_type", ["application/json", "application/json;charset=UTF-8"])
async def test_json_is_taken(site: Site, api_router: ApiRouter, content_type: str) -> None:
    api_router.answers(BOT_CREATE, a_bot())
    status, _, _ = await site.ask(
        "POST", "/v1/bots", data=json.dumps(GOOD), headers={"Content-Type": content_type}
    )
    assert status == 200
    assert api_router.asked[0].definition.goal == "Book a table"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large(site: Site, chunked: bool) -> None:
    async def pieces() -> Any:
        for _ in range(40):
            yield b" " * 10_000

    data = pieces() if chunked else b" " * 400_000
    status, _, answer = await site.ask("POST", "/v1/bots", data=data, headers=JSON)
    assert (status, answer["error"]["code"]) == (413, "too_large")
    assert answer["error"]["message"] == "The body is larger than 128 KiB."


async def test_a_body_that_does_not_arrive_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "READ_WITHIN_S", 0.2)
    head = (
        "POST /v1/bots HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Type: application/json\r\n"
    )
    answer = await site.raw(f"{head}Content-Length: 100\r\n\r\n{{".encode(), within_s=1)
    assert answer.startswith(b"HTTP/1.1 408") and b'"request_timeout"' in answer
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "body", [b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"Content-Length: 10\r\n\r\n{"]
)
async def test_a_body_that_breaks_off_is_not_our_fault(
    site: Site, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        b"POST /v1/bots HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Type: application/json\r\n"
    )
    answer = await site.raw(head + body, within_s=0.5)
    assert answer == b"" or answer.split()[1] == b"400", answer
    await site.ask("GET", "/v1/nothing")
    assert "a request failed" not in caplog.text


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"headers": {"Content-Length": "0"}},
        {"json": {}},
        {"json": {"user_text": "Hello, this is a test."}},
        {"headers": JSON, "data": b""},
    ],
)
async def test_a_body_may_be_left_out_where_the_route_says_so(
    site: Site, api_router: ApiRouter, sent: dict[str, Any]
) -> None:
    api_router.answers(BOT_TEST, WebhookTested(status="ok"))
    status, _, answer = await site.ask("POST", "/v1/bots/bot_1/test-webhook", **sent)
    assert (status, answer["status"]) == (200, "ok")
    assert api_router.asked[0].body.user_text == "Hello, this is a test."


async def test_a_body_that_is_there_must_be_json_all_the_same(site: Site) -> None:
    path = "/v1/bots/bot_1/test-webhook"
    status, _, _ = await site.ask("POST", path, data=b"{}", headers={"Content-Type": "text/plain"})
    assert status == 415
    assert (await site.ask("POST", path, json={"user_text": ""}))[0] == 400
