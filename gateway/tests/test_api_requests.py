"""What a request may be: paths, methods, queries, bodies and headers that nobody should send."""

import json
from typing import Any

import pytest
from yarl import URL

from callbot.gateway.api import bodies
from callbot.runtime.errors import Refused
from callbot.schemas.bots import Bot, BotPage, BotSummary, WebhookTested
from callbot.schemas.subjects import BOT_CREATE, BOT_GET, BOT_LIST, BOT_TEST, BOT_UPDATE, CALL_GET

from .conftest import ApiRouter, Site
from .test_api_answers import a_bot

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
    b'{"goal":' * 20_000,
    b'{"goal": "a", "goal": "b"}',
    b'{"goal": "a", "\\u0067oal": "b"}',
    b'{"goal": {"x": [{"a": 1, "a": 1}]}}',
    b'{"goal": ' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("body", BAD_BODIES)
async def test_a_body_that_readers_could_take_differently_is_none(
    site: Site, api_router: ApiRouter, body: bytes
) -> None:
    status, _, answer = await site.ask("POST", "/v1/bots", data=body, headers=JSON)
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
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
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
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
    if headers.get("Content-Encoding"):
        # aiohttp unpacks before anybody asks; what is no gzip is then a broken body.
        assert answer.split()[1] in (b"400", b"415")
    else:
        assert answer.split()[1] == b"415", answer


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


async def test_a_body_that_does_not_arrive_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "READ_WITHIN_S", 0.2)
    head = (
        "POST /v1/bots HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Type: application/json\r\n"
    )
    answer = await site.raw(f"{head}Content-Length: 100\r\n\r\n{{".encode())
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
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer
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


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/bots/%2e%2e", "bot_not_found"),
        ("/v1/bots/%2e%2e%2f%2e%2e%2fetc", "bot_not_found"),
        ("/v1/bots/..%2fcalls", "bot_not_found"),
        ("/v1/bots/bot_1%00", "bot_not_found"),
        ("/v1/bots/bot_1%0a", "bot_not_found"),
        ("/v1/bots/%ff", "bot_not_found"),
        ("/v1/bots/%zz", "bot_not_found"),
        ("/v1/bots/*", "bot_not_found"),
        ("/v1/bots/bot_1%2Etest", "bot_not_found"),
        ("/v1/bots/" + "x" * 65, "bot_not_found"),
        ("/v1/calls/CA123", "call_not_found"),
        ("/v1/calls/%3E", "call_not_found"),
        ("/v1/calls/CA" + "F" * 32, "call_not_found"),
        ("/v1/calls/CA123/events", "call_not_found"),
        ("/v1/calls/%00/events", "call_not_found"),
        ("/v1/bots/", "not_found"),
        ("/v1//bots", "not_found"),
        ("/v1/../v1/bots", "not_found"),
        ("/v1/./bots", "not_found"),
        ("/v1/bots/bot_1/x", "not_found"),
        ("/v1/bots;a=b", "not_found"),
        ("/V1/bots", "not_found"),
        ("/v2/bots", "not_found"),
        ("/v1", "not_found"),
        ("/", "not_found"),
    ],
)
async def test_paths_lead_where_they_say_or_nowhere(
    site: Site, api_router: ApiRouter, path: str, code: str
) -> None:
    status, _, answer = await site.ask("GET", URL(site.url + path, encoded=True))
    assert (status, answer["error"]["code"]) == (404, code)
    assert api_router.asked == []


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/bots", "GET, HEAD, OPTIONS, POST"),
        ("/bots/bot_1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/v1/bots/bot_1/test-webhook", "OPTIONS, POST"),
        ("/v1/calls/CA1/events", "GET, OPTIONS"),
        ("/v1/voice", "GET, OPTIONS, POST"),
        ("/voice/status", "GET, OPTIONS, POST"),
        ("/v1/auth/token", "OPTIONS, POST"),
        ("/stream/bot_1", "GET, OPTIONS"),
    ],
)
async def test_a_method_that_a_path_does_not_have(site: Site, path: str, allowed: str) -> None:
    for method in ("PUT", "TRACE", "PROPFIND", "QUERY"):
        status, headers, answer = await site.ask(method, path)
        assert (status, answer["error"]["code"], headers["Allow"]) == (405, "method_not_allowed", allowed)
    async with site.http.options(path) as answer:
        assert (answer.status, answer.headers["Allow"], await answer.read()) == (204, allowed, b"")
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_head_is_get_without_its_body(site: Site, api_router: ApiRouter) -> None:
    api_router.answers(BOT_GET, a_bot())
    _, get, _ = await site.ask("GET", "/v1/bots/bot_1")
    status, head, body = await site.ask("HEAD", "/v1/bots/bot_1")
    assert (status, body) == (200, None)
    assert (head["ETag"], head["Content-Length"]) == (get["ETag"], get["Content-Length"])
    assert (await site.ask("HEAD", "/v1/voice"))[0] == 405


@pytest.mark.parametrize(
    "query",
    ["limit=1&limit=2", "cursor=a&cursor=b", "limit=0", "limit=101", "limit=1.0", "limit=-1", "limit=%2B1"]
    + ["limit=1_0", "limit=%D9%A1", "limit=", "limit=%201", "limit=99999999999999999999", "limit=%ff"]
    + ["limit=1;limit=2", "cursor=" + "x" * 201],
)
async def test_a_query_that_is_wrong(site: Site, api_router: ApiRouter, query: str) -> None:
    status, _, answer = await site.ask("GET", URL(f"{site.url}/v1/bots?{query}", encoded=True))
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
    assert query.partition("=")[0] in answer["error"]["message"]
    assert api_router.asked == []


@pytest.mark.parametrize("query", ["", "x=1&x=2", "limit=50", "LIMIT=x", "bot_id=bot_1", "credential=x"])
async def test_parameters_that_a_route_does_not_know_are_ignored(
    site: Site, api_router: ApiRouter, query: str
) -> None:
    api_router.answers(BOT_LIST, BotPage(bots=[]))
    assert (await site.ask("GET", f"/v1/bots?{query}"))[0] == 200
    assert (api_router.asked[0].limit, api_router.asked[0].credential.value) == (50, "t.o.ken")


async def test_the_next_page_is_a_link_that_keeps_the_question(site: Site, api_router: ApiRouter) -> None:
    summary = BotSummary(id="bot_1", number=None, goal="g", status="active", calls_today=0)
    api_router.answers(BOT_LIST, BotPage(bots=[summary], next_cursor="a/b&c"))
    status, headers, body = await site.ask("GET", "/v1/bots?limit=1&cursor=old&x=<y>")
    assert (status, [bot["id"] for bot in body]) == (200, ["bot_1"])
    assert headers["Link"] == '</v1/bots?limit=1&cursor=a/b%26c>; rel="next"'
    api_router.answers(BOT_LIST, BotPage(bots=[]))
    assert "Link" not in (await site.ask("GET", "/bots"))[1]


@pytest.mark.parametrize(
    ("told", "version"),
    [(None, None), ("*", None), ('"3"', 3), (' "3" ', 3)],
)
async def test_the_version_that_is_to_be_changed(
    site: Site, api_router: ApiRouter, told: str | None, version: int | None
) -> None:
    api_router.answers(BOT_UPDATE, a_bot(version=4))
    headers = {} if told is None else {"If-Match": told}
    status, headers, _ = await site.ask("PATCH", "/v1/bots/bot_1", json={"goal": "x"}, headers=headers)
    assert (status, headers["ETag"]) == (200, '"4"')
    assert api_router.asked[0].if_version == version
    assert api_router.asked[0].changes.model_fields_set == {"goal"}


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("3", 400),
        ('"3', 400),
        ('"3", "4"', 400),
        ("**", 400),
        ('"\u00e9"', 400),
        ('W/"3"', 412),
        ('"abc"', 412),
        ('""', 412),
        ('"-1"', 412),
        ('"99999999999999999999"', 412),
    ],
)
async def test_a_version_that_cannot_be_the_current_one(
    site: Site, api_router: ApiRouter, told: str, status: int
) -> None:
    found, _, answer = await site.ask(
        "PATCH", "/v1/bots/bot_1", json={"goal": "x"}, headers={"If-Match": told}
    )
    code = {400: "invalid_request", 412: "precondition_failed"}[status]
    assert (found, answer["error"]["code"]) == (status, code)
    assert api_router.asked == []


async def test_a_version_that_has_been_overtaken(site: Site, api_router: ApiRouter) -> None:
    api_router.answers(BOT_UPDATE, Refused("precondition_failed", "The bot has changed"))
    status, _, answer = await site.ask(
        "PATCH", "/v1/bots/bot_1", json={"goal": "x"}, headers={"If-Match": '"1"'}
    )
    assert (status, answer["error"]["code"]) == (412, "precondition_failed")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /v1/bots HTTP/1.1\r\nHost: x\r\nExpect: 200-maybe\r\nConnection: close\r\n\r\n",
        b"GET /v1/bots HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /v1/bots/\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v1/bots HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n",
        b"GET /v1/bots HTTP/1.1\r\nHost: x\r\nX-API-Key: \xff\r\nConnection: close\r\n\r\n",
        b"GET /v1/bots HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://evil.example/v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /v1/bots HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /v1/calls/CA" + b"0" * 32 + b"/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: \xff\r\n"
        b"Authorization: Bearer t\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_bytes_that_are_no_request_of_ours(
    site: Site, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await site.raw(request_, within_s=3)
    assert answer.split()[1][:1] == b"4", answer
    assert b"Traceback" not in answer
    assert "a request failed" not in caplog.text


async def test_what_can_be_expected(site: Site, api_router: ApiRouter) -> None:
    api_router.answers(BOT_CREATE, a_bot())
    body = json.dumps(GOOD).encode()
    head = (
        "POST /v1/bots HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n"
    ).encode()
    answer = await site.raw(head + b"Expect: 100-Continue\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    answer = await site.raw(head + b"Expect: tea\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 417") and b'{"error":{' in answer


@pytest.mark.parametrize("path", ["/v1/bots/bot_1", "/bots/bot_1"])
async def test_every_path_exists_with_and_without_prefix(
    site: Site, api_router: ApiRouter, path: str
) -> None:
    api_router.answers(BOT_GET, a_bot())
    status, _, body = await site.ask("GET", path)
    assert status == 200 and Bot.model_validate(body).id == "bot_1"


async def test_a_call_of_somebody_else_is_not_there(site: Site, api_router: ApiRouter) -> None:
    api_router.answers(CALL_GET, Refused("call_not_found", "There is no such call."))
    status, _, answer = await site.ask("GET", "/v1/calls/CA" + "0" * 32)
    assert (status, answer["error"]["code"]) == (404, "call_not_found")
