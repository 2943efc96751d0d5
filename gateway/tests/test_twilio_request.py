"""A voice request as it really arrives, byte by byte: nothing of what is signed may change on its way."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from callbot.gateway import twilio_request
from callbot.gateway.api import bodies
from callbot.gateway.errors import errors_as_json
from callbot.gateway.twilio_request import InvalidCall, VoiceRequest

CALL_ID = "CA" + "1b" * 16
FORM = "Content-Type: application/x-www-form-urlencoded"


@dataclass
class Site:
    port: int
    read: list[VoiceRequest] = field(default_factory=list)

    async def sends(self, line: str, *headers: str, body: bytes = b"") -> int:
        """The status of the answer."""
        head = [line, "Host: x", "Connection: close", f"Content-Length: {len(body)}", *headers]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        return int(answer.split()[1])


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async def handle(request: web.Request) -> web.Response:
        told.read.append(await twilio_request.read(request))
        return web.Response()

    app = web.Application(client_max_size=16 * 1024, middlewares=[errors_as_json])
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        told = Site(server.port or 0)
        yield told


@pytest.mark.parametrize(
    "target",
    [
        "/v1/voice",
        "/voice?bot_id=bot_1",
        "/v1/voice?",
        "/v1/%76oice?bot_id=%62ot_1&x=a+b%20c&y=%c3%A9",
        "/v1//voice;p=1?a=1&a=2&=&b",
        "/v1/voice?x=%ff%fe",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_target_stays_as_it_was_written(site: Site, method: str, target: str) -> None:
    assert await site.sends(f"{method} {target} HTTP/1.1", "X-Twilio-Signature: abc=") == 200
    assert (site.read[0].signed.target, site.read[0].signed.signature) == (target, "abc=")


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"", []),
        (b"ToCity=&From=%2B1415", [("ToCity", ""), ("From", "+1415")]),
        (b"X=b&X=a&X=b", [("X", "b"), ("X", "a"), ("X", "b")]),
        (b"a=1+2%20%26%3D&b", [("a", "1 2 &="), ("b", "")]),
        (b"Name=%C3%A9&Name2=\xc3\xa9", [("Name", "é"), ("Name2", "é")]),
        (b"a=1;b=2", [("a", "1;b=2")]),
    ],
)
@pytest.mark.parametrize("charset", ["", "; charset=UTF-8", "; charset=utf-16"])
async def test_the_form_is_read_as_twilio_means_it(
    site: Site, body: bytes, form: list[tuple[str, str]], charset: str
) -> None:
    assert await site.sends("POST /v1/voice HTTP/1.1", FORM + charset, body=body) == 200
    assert site.read[0].signed.form == form


@pytest.mark.parametrize(
    ("line", "headers", "body", "status"),
    [
        ("POST /v1/voice HTTP/1.1", FORM, b"\xff\xfe", 400),
        ("POST /v1/voice HTTP/1.1", FORM, b"a&" * 201, 400),
        ("POST /v1/voice HTTP/1.1", FORM, b"a" * 17_000, 413),
        ("POST /v1/voice?x=\xff HTTP/1.1", FORM, b"", 400),
    ],
)
async def test_what_cannot_be_read_is_refused(
    site: Site, line: str, headers: str, body: bytes, status: int
) -> None:
    assert await site.sends(line, headers, body=body) == status
    assert site.read == []


async def test_a_form_that_does_not_arrive_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "READ_WITHIN_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    head = f"POST /v1/voice HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: 20\r\n\r\nFrom="
    writer.write(head.encode())
    try:
        async with asyncio.timeout(5):
            answer = await reader.readline()
    finally:
        writer.close()
    assert answer.split()[1] == b"408"
    assert site.read == []


async def test_of_a_name_that_stands_twice_the_first_counts(site: Site) -> None:
    """As for call-router, which reads the same form."""
    body = b"CallStatus=in-progress&CallStatus=completed"
    assert await site.sends("POST /v1/voice?To=1&To=2 HTTP/1.1", FORM, body=body) == 200
    assert site.read[0].fields == {"CallStatus": "in-progress", "To": "1"}


async def test_another_content_type_is_no_form(site: Site) -> None:
    assert await site.sends("POST /v1/voice HTTP/1.1", "Content-Type: application/json", body=b"{}") == 200
    assert site.read[0].signed.form == []


async def test_a_get_has_its_parameters_in_the_query(site: Site) -> None:
    assert await site.sends(f"GET /v1/voice?bot_id=bot_1&CallSid={CALL_ID}&To=%2B1 HTTP/1.1") == 200
    asked = site.read[0]
    assert (asked.call_id, asked.fields["bot_id"], asked.fields["To"]) == (CALL_ID, "bot_1", "+1")


async def test_what_we_wrote_into_the_url_is_not_changed_by_the_form(site: Site) -> None:
    """A caller's own parameters arrive in the form (`<Client>`, SIP), and Twilio signs them."""
    body = b"bot_id=other&call=other&From=form&extra=1"
    assert await site.sends("POST /v1/voice?bot_id=bot_1&call=ours&From=url HTTP/1.1", FORM, body=body) == 200
    assert site.read[0].fields == {"bot_id": "bot_1", "call": "ours", "From": "form", "extra": "1"}


async def test_a_signature_that_is_too_long_is_a_wrong_one(site: Site) -> None:
    long = "X-Twilio-Signature: " + "x" * 5000
    assert await site.sends("POST /v1/voice HTTP/1.1", long) == 200
    assert site.read[0].signed.signature == "x" * 200


@pytest.mark.parametrize(
    ("call_sid", "good"),
    [("", True), (CALL_ID, True), ("CA1", False), (CALL_ID + "%0A", False), (CALL_ID.upper(), False)],
)
async def test_a_call_is_named_by_its_sid_or_not_at_all(site: Site, call_sid: str, good: bool) -> None:
    assert await site.sends(f"GET /v1/voice?CallSid={call_sid} HTTP/1.1") == 200
    if good:
        assert site.read[0].call_id == (call_sid or None)
        return
    with pytest.raises(InvalidCall):
        _ = site.read[0].call_id
