"""What answers look like: each refusal, limits, who asks, where from, and what is said when nobody answers."""

import asyncio
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from callbot.gateway.api.client_address import address_of
from callbot.gateway.errors import STATUS_OF_REFUSAL
from callbot.runtime.bus import connect
from callbot.runtime.errors import Refused
from callbot.schemas.bots import Bot, WebhookTested
from callbot.schemas.subjects import (
    BOT_CREATE,
    BOT_GET,
    BOT_LIST,
    BOT_TEST,
    KEY_CREATE,
    USER_SIGN_UP,
    USER_TOKEN,
    VOICE_LIST,
)
from callbot.schemas.users import AccessToken, NewApiKey, RateLimit, SignedUp
from tests.servers import Server, nats_server, url_for

from .conftest import ApiRouter, Site, served

BOT = {"goal": "Book a table", "webhook": "https://example.com/bot"}
LOGIN = {"email": "a@example.com", "password": "0123456789"}


def a_bot(**changed: Any) -> Bot:
    fields = {
        "id": "bot_1",
        "number": None,
        "goal": "Book a table",
        "webhook": "https://example.com/bot",
        "context": "",
        "voice": "piper:joe",
        "voice_status": "ok",
        "greeting": "Hello!",
        "language": "en-US",
        "transfer_to": None,
        "hints": [],
        "suggest": "full",
        "max_call_seconds": 600,
        "status": "active",
        "default": True,
        "created_at": datetime(2026, 11, 21, tzinfo=UTC),
        "calls_today": 0,
        "version": 3,
    }
    return Bot.model_validate(fields | changed)


@pytest.mark.parametrize(("code", "status"), STATUS_OF_REFUSAL.items())
async def test_every_refusal_has_its_status_and_one_shape(
    site: Site, api_router: ApiRouter, code: str, status: int
) -> None:
    api_router.answers(BOT_GET, Refused(code, "Because.", {"field": "x", "http_status": "418"}))
    found, headers, body = await site.ask("GET", "/v1/bots/bot_1")
    assert found == status
    assert set(body) == {"error"}
    assert body["error"] == {
        "code": code,
        "message": "Because.",
        "details": {"field": "x", "http_status": 418},
        "request_id": headers["X-Request-Id"],
    }
    assert headers["Content-Type"].startswith("application/json")
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert (status in (429, 503)) == ("Retry-After" in headers)
    assert headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert headers["Server"] == "callbot"


async def test_a_refusal_that_is_not_of_the_contract_is_our_own_fault(
    site: Site, api_router: ApiRouter
) -> None:
    api_router.answers(BOT_GET, Refused("mongo_exploded", "host 10.0.0.7", {"trace": "x"}))
    status, _, body = await site.ask("GET", "/v1/bots/bot_1")
    assert (status, body["error"]["code"], body["error"]["details"]) == (500, "internal_error", None)
    assert "10.0.0.7" not in str(body)


async def test_limits_are_told_in_headers_and_not_in_bodies(site: Site, api_router: ApiRouter) -> None:
    limit = RateLimit(limit=30, remaining=29, reset_s=900)
    told = {"X-RateLimit-Limit": "30", "X-RateLimit-Remaining": "29", "X-RateLimit-Reset": "900"}
    api_router.answers(USER_SIGN_UP, SignedUp(user_id="u_1", email=LOGIN["email"], rate_limit=limit))
    status, headers, body = await site.ask("POST", "/v1/auth/signup", json=LOGIN)
    assert (status, body) == (201, {"user_id": "u_1", "email": LOGIN["email"]})
    assert {name: headers[name] for name in told} == told
    assert "Retry-After" not in headers
    api_router.answers(BOT_CREATE, a_bot(webhook_secret="s" * 16, rate_limit=limit))
    _, headers, body = await site.ask("POST", "/v1/bots", json=BOT)
    assert headers["X-RateLimit-Remaining"] == "29" and "rate_limit" not in body
    assert body["webhook_secret"] == "s" * 16
    api_router.answers(BOT_GET, a_bot())
    _, headers, body = await site.ask("GET", "/v1/bots/bot_1")
    assert not {"webhook_secret", "rate_limit"} & set(body) and "X-RateLimit-Limit" not in headers
    assert body["transfer_to"] is None and body["number"] is None


async def test_who_asks_too_often_learns_when_to_come_back(site: Site, api_router: ApiRouter) -> None:
    details = {"limit": "10", "remaining": "0", "reset_s": "600", "retry_after_s": "540"}
    api_router.answers(USER_TOKEN, Refused("rate_limited", "Too many attempts.", details))
    status, headers, body = await site.ask("POST", "/v1/auth/token", json=LOGIN)
    assert (status, headers["Retry-After"]) == (429, "540")
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("10", "0")
    assert headers["X-RateLimit-Reset"] == "600"
    assert body["error"]["details"]["retry_after_s"] == 540


async def test_what_is_shown_once_is_kept_by_no_cache(site: Site, api_router: ApiRouter) -> None:
    api_router.answers(USER_TOKEN, AccessToken(access_token="a.b.c", expires_in=3600))
    key = NewApiKey(id="key_1", name="n", created_at=datetime(2026, 11, 21, tzinfo=UTC), key="cbk_1_s")
    api_router.answers(KEY_CREATE, key)
    status, headers, body = await site.ask("POST", "/v1/auth/token", json=LOGIN)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert body == {"access_token": "a.b.c", "token_type": "bearer", "expires_in": 3600}
    status, headers, body = await site.ask("POST", "/v1/api-keys", json={"name": "n"})
    assert (status, headers["Cache-Control"], body["key"]) == (201, "no-store", "cbk_1_s")


@pytest.mark.parametrize(
    ("code", "status", "details"),
    [
        ("webhook_timeout", 408, {"status": "webhook_timeout", "took_ms": "3000.5"}),
        ("webhook_invalid", 502, {"status": "webhook_bad_status", "detail": "500", "http_status": "500"}),
        ("webhook_rate_limited", 429, {"status": "webhook_rate_limited", "retry_after_s": "1"}),
    ],
)
async def test_what_was_wrong_with_a_webhook(
    site: Site, api_router: ApiRouter, code: str, status: int, details: dict[str, str]
) -> None:
    api_router.answers(BOT_TEST, Refused(code, "It did not answer well.", details))
    found, _, body = await site.ask("POST", "/v1/bots/bot_1/test-webhook")
    assert (found, body["error"]["code"]) == (status, code)
    numbers = {"took_ms": 3000.5, "http_status": 500, "retry_after_s": 1}
    assert body["error"]["details"] == {k: numbers.get(k, v) for k, v in details.items()}
    api_router.answers(BOT_TEST, WebhookTested(status="ok", took_ms=12.5, http_status=200))
    found, _, body = await site.ask("POST", "/v1/bots/bot_1/test-webhook")
    assert (found, body["took_ms"]) == (200, 12.5)


@pytest.mark.parametrize(
    ("headers", "kind", "value"),
    [
        ({"Authorization": "Bearer t.o-k_en"}, "bearer", "t.o-k_en"),
        ({"Authorization": "bearer   abc"}, "bearer", "abc"),
        ({"X-API-Key": "cbk_1_2"}, "api_key", "cbk_1_2"),
        ({"Authorization": "Bearer a", "X-API-Key": "b"}, "bearer", "a"),
        ({"Authorization": "Basic eDp5", "X-API-Key": "b"}, "api_key", "b"),
    ],
)
async def test_what_somebody_shows_reaches_call_router(
    site: Site, api_router: ApiRouter, headers: dict[str, str], kind: str, value: str
) -> None:
    api_router.answers(BOT_GET, a_bot())
    async with site.http.get("/v1/bots/bot_1", headers=headers) as answer:
        assert answer.status == 200
    assert (api_router.asked[0].credential.kind, api_router.asked[0].credential.value) == (kind, value)


NOTHING_OF_USE: list[dict[str, str]] = [
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": "Bearer a b"},
    {"Authorization": "Bearer caf\u00e9"},
    {"Authorization": "Bearer ", "X-API-Key": "cbk_1_2"},
    {"Authorization": "Bearer " + "x" * 4097},
    {"Authorization": "Basic eDp5"},
    {"X-API-Key": "a b"},
    {"X-API-Key": "x" * 4097},
]


@pytest.mark.parametrize("headers", [{}, *NOTHING_OF_USE])
async def test_nobody_gets_in_without(site: Site, api_router: ApiRouter, headers: dict[str, str]) -> None:
    for path in ("/v1/bots", "/v1/calls/CA" + "0" * 32 + "/events", "/v1/bots/%00"):
        async with site.http.get(path, headers=headers) as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert (await answer.json())["error"]["code"] == "unauthorized"
    assert api_router.asked == []


async def test_two_of_a_kind_are_none(site: Site) -> None:
    for name in ("Authorization", "X-API-Key"):
        headers = [(name, "Bearer a"), (name, "Bearer b")]
        async with site.http.get("/v1/bots", headers=headers) as answer:
            assert answer.status == 401


async def test_open_mode_asks_for_nothing_and_takes_nothing_that_is_wrong(
    open_site: Site, api_router: ApiRouter
) -> None:
    api_router.answers(BOT_GET, a_bot())
    async with open_site.http.get("/v1/bots/bot_1") as answer:
        assert answer.status == 200
    assert api_router.asked[0].credential.kind == "none"
    for headers in NOTHING_OF_USE[2:]:
        async with open_site.http.get("/v1/bots/bot_1", headers=headers) as answer:
            assert answer.status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:80"}, 421),
        ({"Host": "["}, 421),
        ({"Origin": "https://evil.example"}, 421),
        ({"Origin": "null"}, 421),
        ({"Origin": "http://["}, 421),
        ({"Origin": "http://127.0.0.1:9"}, 200),
        ({"Host": "localhost:9"}, 200),
        ({"Host": "[::1]"}, 200),
    ],
)
async def test_in_open_mode_only_this_machine_asks(
    open_site: Site, api_router: ApiRouter, headers: dict[str, str], status: int
) -> None:
    api_router.answers(BOT_GET, a_bot())
    async with open_site.http.get("/v1/bots/bot_1", headers=headers) as answer:
        assert answer.status == status


TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("remote", "forwarded", "is_from"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1,198.51.100.7, 10.9.9.9 ,10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "1.1.1.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "nonsense, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1,", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "2001:DB8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("fd00::1%eth0", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1\udcff", "10.0.0.1"),
        ("", "198.51.100.7", ""),
    ],
)
def test_where_a_request_comes_from(remote: str, forwarded: str, is_from: str) -> None:
    assert address_of(remote, forwarded, TRUSTED) == is_from


async def test_attempts_are_told_with_the_address_behind_our_own_proxy(
    site: Site, open_site: Site, api_router: ApiRouter
) -> None:
    api_router.answers(USER_TOKEN, AccessToken(access_token="a", expires_in=1))
    headers = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "198.51.100.7, 127.0.0.9")]
    for one in (site, open_site):
        async with one.http.post("/v1/auth/token", json=LOGIN, headers=headers) as answer:
            assert answer.status == 200
    assert [question.address for question in api_router.asked] == ["198.51.100.7", "127.0.0.1"]


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[Server]:
    server = nats_server(tmp_path)
    server.start()
    yield server
    server.kill()


async def unavailable(site: Site, method: str, path: str, within_s: float = 2.0, **options: Any) -> None:
    async with asyncio.timeout(within_s):
        status, headers, body = await site.ask(method, path, **options)
    assert (status, body["error"]["code"]) == (503, "unavailable")
    assert int(headers["Retry-After"]) >= 1


async def test_503_within_two_seconds_whatever_is_away(own_nats: Server) -> None:
    async with served(own_nats) as site:
        # Nobody answers there.
        await unavailable(site, "GET", "/v1/bots")
        await unavailable(site, "POST", "/v1/bots", json=BOT)
        router = ApiRouter()
        async with connect(url_for("call-router", own_nats), speaks_as="call-router") as bus:
            await router.listen(bus)
            # Somebody is there and says nothing.
            await unavailable(site, "GET", "/v1/voices")
            router.answers(BOT_LIST, Refused("unavailable", "The database does not answer."))
            await unavailable(site, "GET", "/v1/bots")
            # The server stands still: also a question that may take long does not wait for it.
            own_nats.send(signal.SIGSTOP)
            await unavailable(site, "GET", "/v1/voices")
            await unavailable(site, "POST", "/v1/bots", within_s=5.0, json=BOT)
            own_nats.send(signal.SIGCONT)
        own_nats.kill()
        await asyncio.sleep(0)
        await unavailable(site, "GET", "/v1/bots")
        await unavailable(site, "POST", "/v1/bots", json=BOT)
        await unavailable(site, "GET", "/v1/calls/CA" + "0" * 32 + "/events")
        own_nats.start()


async def test_a_surprise_is_told_as_nothing_but_that(
    site: Site, api_router: ApiRouter, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(question: Any) -> Bot:
        raise RuntimeError("secret of the house")

    api_router.answers(VOICE_LIST, breaks)
    status, _, body = await site.ask("GET", "/v1/voices")
    assert (status, body["error"]["code"]) == (500, "internal_error")
    assert "secret of the house" not in str(body)
