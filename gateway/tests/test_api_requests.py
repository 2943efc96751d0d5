"""What a request may be: paths, methods, queries and headers that nobody should send."""

import json

import pytest
from yarl import URL

from callbot.runtime.errors import Refused
from callbot.schemas.bots import Bot, BotPage, BotSummary
from callbot.schemas.subjects import BOT_CREATE, BOT_GET, BOT_LIST, BOT_UPDATE, CALL_GET

from .api_site import ApiRouter, Site, a_bot

JSON = {"Content-Type": "application/json"}
GOOD = {"goal": "Book a table", "webhook": "https://example.com/bot"}


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
    ],
)
async def test_paths_lead_where_they_say_or_nowhere(
    site: Site, api_router: ApiRouter, path: str, code: str
) -> None:
    status, _, answer = await site.ask("GET", URL(site.url + path, encoded=True))
    assert (status, answer["error"]["code"]) == (404, code)
    assert code != "not_found" or "/docs" in answer["error"]["message"] or path.endswith("/")
    assert api_router.asked == []


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/bots/", "/v1/bots"),
        ("/bots/bot_1//", "/bots/bot_1"),
        ("/v1/auth/token/?x=1", "/v1/auth/token"),
        ("/v1/nothing/", "/docs"),
        ("//", "/docs"),
        ("//evil.example/", "/docs"),
    ],
)
async def test_a_slash_too_many_is_named(site: Site, path: str, named: str) -> None:
    for method in ("GET", "POST"):
        status, _, answer = await site.ask(method, URL(site.url + path, encoded=True))
        assert (status, answer["error"]["code"]) == (404, "not_found")
        assert named in answer["error"]["message"].split(), answer


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
        assert allowed in answer["error"]["message"]
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
    [
        "limit=1&limit=2",
        "cursor=a&cursor=b",
        *(
            "limit=" + wrong
            for wrong in ("0", "101", "1.0", "-1", "%2B1", "1_0", "%D9%A1", "", "%201", "%ff")
        ),
        "limit=99999999999999999999",
        "limit=1;limit=2",
        "cursor=" + "x" * 201,
    ],
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
        b"POST /v1/bots HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        b"\r\n",
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
