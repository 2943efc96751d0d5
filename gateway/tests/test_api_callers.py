"""Who asks, and where from."""

from ipaddress import ip_network

import pytest

from callbot.gateway.api.client_address import address_of
from callbot.schemas.subjects import (
    BOT_GET,
    USER_TOKEN,
)
from callbot.schemas.users import UNAUTHORIZED, AccessToken

from .api_site import ApiRouter, Site, a_bot

BOT = {"goal": "Book a table", "webhook": "https://example.com/bot"}
LOGIN = {"email": "a@example.com", "password": "0123456789"}


@pytest.mark.parametrize(
    ("headers", "kind", "value"),
    [
        ({"Authorization": "Bearer t.o-k_en"}, "bearer", "t.o-k_en"),
        ({"Authorization": "bearer   abc"}, "bearer", "abc"),
        ({"X-API-Key": "cbk_1_2"}, "api_key", "cbk_1_2"),
        ({"Authorization": "Bearer cbk_1_2"}, "api_key", "cbk_1_2"),
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
            error = (await answer.json())["error"]
            assert (error["code"], error["message"]) == ("unauthorized", UNAUTHORIZED)
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
        ({"Sec-Fetch-Site": "cross-site"}, 421),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:9"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "[::1]"}, 200),
    ],
)
async def test_in_open_mode_only_this_machine_asks(
    open_site: Site, api_router: ApiRouter, headers: dict[str, str], status: int
) -> None:
    api_router.answers(BOT_GET, a_bot())
    async with open_site.http.get("/v1/bots/bot_1", headers=headers) as answer:
        assert answer.status == status


async def test_in_open_mode_a_request_names_its_host(open_site: Site) -> None:
    assert (await open_site.raw(b"GET /v1/bots/bot_1 HTTP/1.0\r\n\r\n")).split()[1] == b"421"


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
