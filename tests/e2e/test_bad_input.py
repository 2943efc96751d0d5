"""What nobody should send: every answer is the contract's, and nothing is left behind."""

import json
from typing import Any
from xml.etree import ElementTree

import aiohttp
import pytest

from tests.conftest import BotMaker

GOOD = {"goal": "Book a table", "webhook": "https://example.com/bot"}
JSON = {"Content-Type": "application/json"}

FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"goal": ""}, "goal"),
    ({"goal": "   "}, "goal"),
    ({"goal": "x" * 2001}, "goal"),
    ({"goal": 5}, "goal"),
    ({"goal": None}, "goal"),
    ({"goal": {"$gt": ""}}, "goal"),
    ({"goal": "a\x00b"}, "goal"),
    ({"webhook": "nonsense"}, "webhook"),
    ({"webhook": "/bot"}, "webhook"),
    ({"webhook": "ftp://example.com"}, "webhook"),
    ({"webhook": "javascript:alert(1)"}, "webhook"),
    ({"webhook": "http://example.com/bot"}, "webhook"),
    ({"webhook": "https://user:password@example.com"}, "webhook"),
    ({"context": "x" * 20_001}, "context"),
    ({"context": ["a"]}, "context"),
    ({"voice": "emma"}, "voice"),
    ({"voice": "nosuch:emma"}, "voice"),
    ({"voice": "elevenlabs:"}, "voice"),
    ({"language": "english please"}, "language"),
    ({"transfer_to": "call me"}, "transfer_to"),
    ({"hints": "word"}, "hints"),
    ({"suggest": "sometimes"}, "suggest"),
    ({"max_call_seconds": 1}, "max_call_seconds"),
    ({"max_call_seconds": "60"}, "max_call_seconds"),
    ({"gaol": "typing error"}, "gaol"),
]


@pytest.mark.parametrize(("change", "field"), FIELDS)
async def test_a_wrong_field_is_named(api: aiohttp.ClientSession, change: dict[str, Any], field: str) -> None:
    async with api.post("/v1/bots", json={**GOOD, **change}) as answer:
        error = (await answer.json())["error"]
        assert answer.status == 400
        assert error["code"] == "invalid_request"
        assert field in error["message"]
        assert "request_id" in error


async def test_an_unknown_voice_provider_gets_the_list_of_known_ones(api: aiohttp.ClientSession) -> None:
    async with api.post("/v1/bots", json={**GOOD, "voice": "nosuch:emma"}) as answer:
        message = (await answer.json())["error"]["message"]
        assert "elevenlabs" in message and "polly" in message and "piper" in message


@pytest.mark.parametrize("missing", ["goal", "webhook"])
async def test_a_missing_field_is_named(api: aiohttp.ClientSession, missing: str) -> None:
    body = {k: v for k, v in GOOD.items() if k != missing}
    async with api.post("/v1/bots", json=body) as answer:
        assert answer.status == 400
        assert missing in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{'goal': 1}", b"[" * 20_000]
)
async def test_a_body_that_is_no_object(api: aiohttp.ClientSession, body: bytes) -> None:
    async with api.post("/v1/bots", data=body, headers=JSON) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("PUT", "/v1/bots", 405, "method_not_allowed"),
        ("DELETE", "/v1/bots", 405, "method_not_allowed"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/bots/bot_unknown", 404, "bot_not_found"),
        ("DELETE", "/v1/bots/bot_unknown", 404, "bot_not_found"),
        ("GET", "/v1/bots/%2e%2e%2fetc", 404, "bot_not_found"),
        ("GET", "/v1/bots/a.b", 404, "bot_not_found"),
        ("GET", "/v1/bots/" + "x" * 65, 404, "bot_not_found"),
        ("GET", "/v1/bots?limit=0", 400, "invalid_request"),
        ("GET", "/v1/bots?limit=x", 400, "invalid_request"),
        ("GET", "/v1/calls/CA123", 404, "call_not_found"),
        ("GET", "/v1/calls/CA" + "f" * 32, 404, "call_not_found"),
    ],
)
async def test_paths(api: aiohttp.ClientSession, method: str, path: str, status: int, code: str) -> None:
    async with api.request(method, path) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == code
        assert status != 405 or answer.headers["Allow"]


async def test_content_type_and_size(api: aiohttp.ClientSession) -> None:
    async with api.post("/v1/bots", data=json.dumps(GOOD), headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 415
    async with api.post("/v1/bots", data=b" " * 1_000_000, headers=JSON) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "too_large"


async def test_a_patch_changes_what_it_names_and_nothing_else(
    api: aiohttp.ClientSession, make_bot: BotMaker
) -> None:
    bot = await make_bot(context="Open at five.", hints=["quiche"])
    async with api.get(f"/bots/{bot}") as answer:
        before = await answer.json()
    async with api.patch(f"/v1/bots/{bot}", json={"goal": "Another goal"}) as answer:
        assert answer.status == 200
        assert await answer.json() == {**before, "goal": "Another goal", "version": 2}
    async with api.patch(f"/v1/bots/{bot}", json={"goal": ""}) as answer:
        assert answer.status == 400
    async with api.delete(f"/v1/bots/{bot}") as answer:
        assert answer.status == 200
    async with api.patch(f"/v1/bots/{bot}", json={"goal": "x"}) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("query", "form", "status", "says"),
    [
        ("", {}, 400, "Invalid bot"),
        ("?bot_id=", {}, 400, "Invalid bot"),
        ("?bot_id=a%20b", {}, 400, "Invalid bot"),
        ("?bot_id=" + "x" * 65, {}, 400, "Invalid bot"),
        ("?bot_id=bot_unknown", {}, 404, "Bot not found"),
        ("?bot_id=bot_unknown", {"CallSid": "CA1"}, 400, "Invalid call"),
        ("?bot_id=bot_unknown", {"From": "+1" * 1000}, 400, "Invalid call"),
        ("?bot_id=bot_unknown", {"CallSid": "CA" + "Z" * 32}, 400, "Invalid call"),
    ],
)
async def test_voice_refuses_in_twiml(
    api: aiohttp.ClientSession, query: str, form: dict[str, str], status: int, says: str
) -> None:
    for path in ("/voice", "/v1/voice"):
        async with api.post(path + query, data=form) as answer:
            assert answer.status == status
            assert answer.content_type == "application/xml"
            assert ElementTree.fromstring(await answer.text()).findtext("Say") == says


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"\xff\xfe"),
        ("application/x-www-form-urlencoded; charset=foo", b"a=1"),
        ("application/x-www-form-urlencoded; charset=punycode", b"a" * 100_000),
        ("multipart/form-data", b"x"),
        ("application/x-www-form-urlencoded", b"ErrorUrl=http%3A%2F%2F%5B"),
        ("application/x-www-form-urlencoded", b"a&" * 1000),
    ],
)
async def test_a_form_that_is_none_is_never_our_fault(
    api: aiohttp.ClientSession, content_type: str, body: bytes
) -> None:
    for path in ("/v1/voice", "/v1/voice/next", "/v1/voice/fallback"):
        async with api.post(path, data=body, headers={"Content-Type": content_type}) as answer:
            assert answer.status < 500, await answer.text()


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
async def test_a_page_of_another_host_is_not_served(
    api: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    async with api.get("/v1/bots", headers=headers) as answer:
        assert answer.status == 421
    async with api.get("/v1/bots", headers={"Host": "localhost:1", "Origin": "http://127.0.0.1"}) as answer:
        assert answer.status == 200


async def test_the_documents_own_curl(api: aiohttp.ClientSession, make_bot: BotMaker) -> None:
    bot = await make_bot()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with api.post(f"/voice?bot_id={bot}", headers=form) as answer:
        assert answer.status == 200
        connect = ElementTree.fromstring(await answer.text())[0]
    assert connect.tag == "Connect" and "/v1/voice/next?call=CA" in connect.attrib["action"]
    assert connect[0].attrib["url"].endswith(f"/voice/stream/{bot}")
    assert connect[0].attrib["url"].startswith("ws://127.0.0.1")


async def test_the_same_question_gets_the_same_answer(api: aiohttp.ClientSession, make_bot: BotMaker) -> None:
    bot = await make_bot()
    form = {"CallSid": "CA" + "12" * 16, "AccountSid": "AC1", "From": "+1", "To": "+2"}
    answers = [await (await api.post(f"/v1/voice?bot_id={bot}", data=form)).text() for _ in range(3)]
    assert len(set(answers)) == 1
