"""What answers look like: each refusal, limits, and what is said when nobody answers."""

import asyncio
import signal
from datetime import UTC, datetime
from typing import Any

import pytest

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
from tests.servers import Server, url_for

from .api_site import ApiRouter, Site, a_bot, served

BOT = {"goal": "Book a table", "webhook": "https://example.com/bot"}
LOGIN = {"email": "a@example.com", "password": "0123456789"}


async def test_a_voice_that_could_be_several_is_refused_with_all_of_them(
    site: Site, api_router: ApiRouter
) -> None:
    told = {"field": "voice", "candidates": "elevenlabs:a elevenlabs:b"}
    api_router.answers(BOT_CREATE, Refused("ambiguous_voice", "voice: 2 voices have this name", told))
    found, _, body = await site.ask("POST", "/v1/bots", json={**BOT, "voice": "elevenlabs:emma"})
    assert (found, body["error"]["code"]) == (400, "ambiguous_voice")
    assert body["error"]["details"] == [
        {
            "field": "voice",
            "message": "2 voices have this name",
            "candidates": ["elevenlabs:a", "elevenlabs:b"],
        }
    ]


@pytest.mark.parametrize(("code", "status"), STATUS_OF_REFUSAL.items())
async def test_every_refusal_has_its_status_and_one_shape(
    site: Site, api_router: ApiRouter, code: str, status: int
) -> None:
    api_router.answers(BOT_GET, Refused(code, "Because.", {"field": "x", "http_status": "418"}))
    found, headers, body = await site.ask("GET", "/v1/bots/bot_1")
    assert found == status
    details: Any = {"field": "x", "http_status": 418}
    if status == 400:
        details = [{"field": "x", "message": "Because."}]
    assert set(body) == {"error"}
    assert body["error"] == {
        "code": code,
        "message": "Because.",
        "details": details,
        "request_id": headers["X-Request-Id"],
    }
    assert headers["Content-Type"].startswith("application/json")
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert (status in (429, 503)) == ("Retry-After" in headers)
    assert headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert headers["Server"] == "callbot"


async def test_the_details_of_a_400_are_a_list_of_fields(site: Site, api_router: ApiRouter) -> None:
    told = "webhook: must be a public address"
    api_router.answers(BOT_CREATE, Refused("invalid_request", told, {"field": "webhook"}))
    status, _, body = await site.ask("POST", "/v1/bots", json=BOT)
    assert (status, body["error"]["message"]) == (400, told)
    assert body["error"]["details"] == [{"field": "webhook", "message": "must be a public address"}]
    api_router.answers(BOT_CREATE, Refused("invalid_request", "This cannot be stored."))
    assert (await site.ask("POST", "/v1/bots", json=BOT))[2]["error"]["details"] == []
    for method, path, options, field in (
        ("GET", "/v1/bots?limit=abc", {}, "limit"),
        ("GET", "/v1/bots?limit=101", {}, "limit"),
        ("GET", "/v1/calls?cursor=1&cursor=2", {}, "cursor"),
        ("GET", "/v1/calls?bot_id=a.b", {}, "bot_id"),
        ("POST", "/v1/bots", {"json": ["x"]}, "body"),
        ("PATCH", "/v1/bots/bot_1", {"json": {}, "headers": {"If-Match": "3"}}, "If-Match"),
        ("GET", "/v1/calls/CA" + "0" * 32 + "/events", {"headers": {"Last-Event-ID": "x"}}, "Last-Event-ID"),
        ("POST", "/v1/voice/fallback", {"data": {"ErrorUrl": "http://["}}, "ErrorUrl"),
        ("GET", "/v1/voice/stream/bot_1", {}, "Upgrade"),
    ):
        status, _, body = await site.ask(method, path, **options)
        assert status == 400, (path, body)
        (wrong,) = body["error"]["details"]
        assert wrong.keys() == {"field", "message"} and wrong["field"] == field
        assert wrong["message"] in body["error"]["message"]


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
            await asyncio.gather(
                unavailable(site, "GET", "/v1/voices"),
                unavailable(site, "POST", "/v1/bots", within_s=5.0, json=BOT),
            )
            own_nats.send(signal.SIGCONT)
        own_nats.kill()
        await unavailable(site, "GET", "/v1/bots")
        await unavailable(site, "POST", "/v1/bots", json=BOT)
        await unavailable(site, "GET", "/v1/calls/CA" + "0" * 32 + "/events")
        own_nats.start()


async def test_a_question_that_may_take_long_ends_with_the_link(own_nats: Server) -> None:
    router = ApiRouter()
    async with (
        served(own_nats) as site,
        connect(url_for("call-router", own_nats), speaks_as="call-router") as bus,
    ):
        await router.listen(bus)
        asking = asyncio.create_task(unavailable(site, "POST", "/v1/bots", json=BOT, within_s=4.0))
        async with asyncio.timeout(2):
            while not router.asked:
                await asyncio.sleep(0.01)
        own_nats.kill()
        await asking
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
