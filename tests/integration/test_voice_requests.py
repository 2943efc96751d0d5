"""Twilio's requests from their bytes to the record: the gateway's site, call-router, NATS and a database.

The account is a customer's own, signatures are required.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from callbot.call_router.app import answering
from callbot.call_router.bot_store import StoredBot
from callbot.call_router.mongo import open_database
from callbot.call_router.settings import Settings as RouterSettings
from callbot.call_router.settings import ring_of
from callbot.call_router.stores import Stores
from callbot.call_router.user_store import StoredNumber, StoredUser, auth_token_of
from callbot.gateway import voice_next
from callbot.gateway.app import make_app
from callbot.gateway.main import live_calls
from callbot.gateway.settings import Settings as GatewaySettings
from callbot.runtime.bus import connect
from callbot.runtime.keyring import new_key
from callbot.runtime.sealing import Sealing
from callbot.schemas.bots import Suggest
from tests.servers import Server, mongo_server, nats_server, url_for

PUBLIC = "https://bots.example"
SID, TOKEN, NUMBER = "AC" + "a" * 32, "token of alice", "+14155550199"


@dataclass
class Ring:
    """Alice's number rings: what her Twilio account asks of us about one call."""

    http: aiohttp.ClientSession
    call_id: str = field(default_factory=lambda: "CA" + secrets.token_hex(16))
    sid: str = SID
    token: str = TOKEN

    async def asks(self, url: str, method: str = "POST", **over: str) -> tuple[int, str]:
        """`over` replaces form fields; `url` is one that we gave."""
        form = {"CallSid": self.call_id, "AccountSid": self.sid, "To": NUMBER, "ToCity": "", **over}
        target = url.removeprefix(PUBLIC)
        said = PUBLIC + target + "".join(name + value for name, value in sorted(form.items()))
        mac = base64.b64encode(hmac.digest(self.token.encode(), said.encode(), hashlib.sha1)).decode()
        headers = {"X-Twilio-Signature": mac, "Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        async with self.http.request(method, target, data=form, headers=headers) as answer:
            return answer.status, await answer.text()

    async def connects(self, url: str) -> tuple[str, str, str]:
        """The action URL, the stream's path and its token."""
        status, text = await self.asks(url)
        assert status == 200
        (verb,) = ElementTree.fromstring(text)
        assert verb.tag == "Connect", text
        return (
            verb.attrib["action"],
            verb[0].attrib["url"].removeprefix("wss://bots.example"),
            (verb[0][0].attrib["value"]),
        )

    def stream(self, path: str) -> Any:
        return self.http.ws_connect(path)

    def begins(self, token: str) -> dict[str, Any]:
        start = {
            "callSid": self.call_id,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
            "customParameters": {"token": token},
        }
        return {"event": "start", "streamSid": "MZ1", "start": start}


def tags(text: str) -> list[str]:
    return [verb.tag for verb in ElementTree.fromstring(text)]


MEDIA = {"event": "media", "media": {"payload": base64.b64encode(b"\xff" * 160).decode()}}
STOP = {"event": "stop", "stop": {}}


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of this module alone: on the shared one another call-router may answer."""
    server = nats_server(tmp_path_factory.mktemp("nats-of-voice"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def router_settings(nats: Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    home: Path = tmp_path_factory.mktemp("mongo-of-voice")
    mongo = mongo_server(home)
    mongo.start()
    keys: dict[str, Any] = {
        f"{ring}_keys": SecretStr(new_key("k")) for ring in ("token", "jwt", "secret", "webhook")
    }
    yield RouterSettings(
        nats_url=url_for("call-router", nats),
        mongo_url=f"mongodb://127.0.0.1:{mongo.port}",
        public_url=PUBLIC,
        auth="required",
        **keys,
    )
    mongo.kill()


@pytest.fixture
async def stores(router_settings: RouterSettings) -> AsyncIterator[Stores]:
    async with open_database(router_settings.mongo_url, router_settings.mongo_database) as database:
        yield Stores(database)


@pytest.fixture
async def http(
    nats: Server, router_settings: RouterSettings, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[aiohttp.ClientSession]:
    monkeypatch.setattr(voice_next, "OWN_WORD_WITHIN_S", 0.05)
    settings = GatewaySettings(
        nats_url=url_for("gateway", nats), public_url=PUBLIC, auth="required", drain_s=0.1
    )
    async with AsyncExitStack() as stack:
        router_bus = await stack.enter_async_context(
            connect(router_settings.nats_url, speaks_as="call-router")
        )
        ready = await stack.enter_async_context(answering(router_bus, stores, router_settings))
        bus = await stack.enter_async_context(connect(settings.nats_url, speaks_as="gateway"))
        calls = await stack.enter_async_context(live_calls(settings, bus))
        server = await stack.enter_async_context(TestServer(make_app(settings, bus, calls)))
        async with asyncio.timeout(10):
            while not all(ready().values()):
                await asyncio.sleep(0.02)
        yield await stack.enter_async_context(aiohttp.ClientSession(server.make_url("/")))


@pytest.fixture
async def bot(stores: Stores, router_settings: RouterSettings, http: aiohttp.ClientSession) -> str:
    """Alice's only one, of her own number."""
    now = datetime.now(UTC)
    if await stores.users.get("alice") is None:
        await stores.users.add(StoredUser(user_id="alice", created_at=now))
        number = StoredNumber(
            phone_number=NUMBER,
            phone_number_sid="PN" + "a" * 32,
            account_sid=SID,
            sealed_auth_token=Sealing(ring_of(router_settings.secret_keys)).seal(
                TOKEN, auth_token_of("alice")
            ),
            before={},
            connected_at=now,
        )
        await stores.users.set_number("alice", number)
        bot = StoredBot(
            id="bot_alice",
            user_id="alice",
            created_at=now,
            goal="Book",
            webhook="https://example.com",
            sealed_webhook_secret="sealed",
            context="",
            voice="piper:joe",
            greeting="Hello!",
            language="en-US",
            transfer_to=None,
            hints=[],
            suggest=Suggest.OFF,
            max_call_seconds=600,
        )
        await stores.bots.add(bot, limit=10)
    return "bot_alice"


@pytest.fixture
def ring(http: aiohttp.ClientSession, bot: str) -> Ring:
    return Ring(http)


async def closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    while (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
        continue


async def until(holds: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(10):
        while not (found := await holds()):
            await asyncio.sleep(0.02)
    return found


async def record(stores: Stores, ring: Ring) -> dict[str, Any]:
    found = await stores.calls._calls.one({"call_id": ring.call_id})
    assert found is not None
    return found


@pytest.mark.parametrize("path", ["/v1/voice?bot_id=bot_alice", "/v1/voice", "/voice", "/voice?bot_id="])
async def test_a_repeated_request_gets_the_same_bytes(ring: Ring, path: str) -> None:
    first = await ring.asks(path)
    assert first[0] == 200 and "/voice/stream/bot_alice" in first[1]
    assert {await ring.asks(path) for _ in range(3)} == {first}


async def test_the_fallback_of_a_lost_answer_is_the_answer(ring: Ring) -> None:
    first = await ring.asks("/v1/voice?bot_id=bot_alice")
    failed = {"ErrorCode": "11205", "ErrorUrl": f"{PUBLIC}/v1/voice?bot_id=bot_alice"}
    assert await ring.asks("/v1/voice/fallback", **failed) == first
    assert (await Ring(ring.http, token="wrong").asks("/v1/voice/fallback", **failed))[0] == 403
    unknown = {"ErrorCode": "11200", "ErrorUrl": f"{PUBLIC}/v1/voice?bot_id=bot_nowhere"}
    status, text = await Ring(ring.http).asks("/v1/voice/fallback", **unknown)
    assert (status, ElementTree.fromstring(text).findtext("Say")) == (200, "Bot not found")


async def test_who_does_not_sign_as_the_bots_account_hears_nothing(ring: Ring) -> None:
    action, *_ = await ring.connects("/v1/voice")
    for other in (Ring(ring.http, ring.call_id, token="wrong"), Ring(ring.http, ring.call_id, sid="AC1")):
        for url in ("/v1/voice", action, "/v1/voice/status", "/v1/voice/fallback"):
            assert await other.asks(url) == (403, ""), url


async def test_a_signed_call_is_the_calls_own(ring: Ring) -> None:
    action, *_ = await ring.connects("/v1/voice")
    others, *_ = await Ring(ring.http).connects("/v1/voice")
    path, _, signed = action.partition("?call=")
    assert (await ring.asks(action))[0] == 200
    assert (await ring.asks(path))[0] == 400
    for wrong in (others, f"{path}?call={ring.call_id}", f"{path}?call={signed}x", f"{path}?call=%00"):
        assert await ring.asks(wrong) == (403, ""), wrong
        failed = {"ErrorCode": "11200", "ErrorUrl": wrong}
        assert await ring.asks("/v1/voice/fallback", **failed) == (403, ""), wrong


async def test_a_stream_spends_its_token_and_the_call_goes_on_with_another(
    ring: Ring, stores: Stores
) -> None:
    action, path, token = await ring.connects("/v1/voice")
    async with ring.stream(path) as socket:
        await socket.send_json(ring.begins(token))
        await socket.send_json(MEDIA)
        await socket.send_json(MEDIA)

        async def spent() -> object:
            return (await record(stores, ring)).get("spent_tokens")

        assert await until(spent) == [".".join(token.split(".")[:2])]
    async with ring.stream(path) as socket:
        await socket.send_json(ring.begins(token))
        await closed(socket)
        assert socket.close_code == 1008
    action, path, another = await ring.connects(action)
    assert another != token
    async with ring.stream(path) as socket:
        await socket.send_json(ring.begins(another))
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT
        await socket.send_json(STOP)
        await closed(socket)

    async def ended() -> object:
        return (await record(stores, ring)).get("end_reason")

    assert await until(ended) == "caller_hung_up"
    assert (await record(stores, ring))["generation"] == 2
    assert tags((await ring.asks(action))[1]) == ["Hangup"]


async def test_a_status_ends_a_call_that_nobody_else_ends(ring: Ring, stores: Stores) -> None:
    """Once for a call that had no stream, once for one whose gateway died with it."""
    await ring.connects("/v1/voice")
    assert await ring.asks("/v1/voice/status", CallStatus="in-progress") == (204, "")
    assert (await record(stores, ring))["ended_at"] is None
    assert await ring.asks("/v1/voice/status", CallStatus="completed") == (204, "")
    assert (await record(stores, ring))["end_reason"] == "line_lost"

    other = Ring(ring.http)
    _, path, token = await other.connects("/v1/voice")
    async with other.stream(path) as socket:
        await socket.send_json(other.begins(token))
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT

    async def ended() -> object:
        # The first status may come before the journal is written; Twilio's is behind the end by far more.
        assert await other.asks("/v1/voice/status", CallStatus="completed") == (204, "")
        return (await record(stores, other)).get("end_reason")

    assert await until(ended) == "line_lost"
