"""What Twilio is told when a call comes in: every answer of call-router's, and what call-router is asked."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from yarl import URL

from callbot.gateway.app import make_app
from callbot.gateway.calls import Calls
from callbot.gateway.live_call import Platform
from callbot.gateway.memory import EventLog, Journals
from callbot.gateway.phrases import PhraseLibrary, load
from callbot.gateway.recording import PieceSender
from callbot.gateway.seating import Beats
from callbot.gateway.settings import Settings
from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import Refused
from callbot.schemas.calls import CallChecked, CallRoute, CheckCall, RouteCall, RouteVerdict
from callbot.schemas.subjects import CALL_CHECK, CALL_ROUTE
from tests.servers import Server, nats_server, url_for

CALL_ID = "CA" + "12" * 16
BROKEN = load()["goodbye"].text
CONNECTED = CallRoute(
    verdict=RouteVerdict.CONNECT,
    bot_id="bot_1",
    call_id=CALL_ID,
    token="key.1.mac",
    signed_call=f"{CALL_ID}.key.mac",
)


class Router:
    """call-router, as a test wants it: what it was asked and what it answers."""

    def __init__(self) -> None:
        self.routed: list[RouteCall] = []
        self.checked: list[CheckCall] = []
        self.answer: CallRoute | Refused = CONNECTED
        self.about: CallChecked | Refused = CallChecked(call_id=CALL_ID, bot_id="bot_1")

    async def route(self, question: RouteCall) -> CallRoute:
        self.routed.append(question)
        if isinstance(self.answer, Refused):
            raise self.answer
        return self.answer

    async def check(self, question: CheckCall) -> CallChecked:
        self.checked.append(question)
        if isinstance(self.about, Refused):
            raise self.about
        return self.about


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of this module alone: on the shared one another call-router may answer."""
    server = nats_server(tmp_path_factory.mktemp("nats-of-voice"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def router(nats: Server) -> AsyncIterator[Router]:
    router = Router()
    async with connect(url_for("call-router", nats), speaks_as="call-router") as bus:
        listening = [await bus.answer(CALL_ROUTE, router.route), await bus.answer(CALL_CHECK, router.check)]
        await bus.flush()
        yield router
        for one in listening:
            await one.stop()


@pytest.fixture
async def bus(nats: Server) -> AsyncIterator[Bus]:
    async with connect(url_for("gateway", nats), speaks_as="gateway") as bus:
        yield bus


@pytest.fixture
def calls(bus: Bus) -> Iterator[Calls]:
    beats, pieces = Beats(lambda: 0.0), PieceSender(bus)
    yield Calls(Platform(bus, beats, Journals(bus), EventLog(bus), PhraseLibrary(bus), pieces), room=1)


@pytest.fixture
async def site(bus: Bus, calls: Calls) -> AsyncIterator[aiohttp.ClientSession]:
    settings = Settings(public_url="https://bots.example", auth="required")
    async with (
        TestServer(make_app(settings, bus, calls)) as server,
        aiohttp.ClientSession(server.make_url("/")) as session,
    ):
        yield session


async def spoken(answer: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    assert answer.content_type == "application/xml"
    return [(verb.tag, verb.text or "") for verb in ElementTree.fromstring(await answer.text())]


@pytest.mark.parametrize("path", ["/v1/voice", "/voice"])
async def test_a_connected_call_gets_its_stream(
    site: aiohttp.ClientSession, router: Router, path: str
) -> None:
    async with site.post(f"{path}?bot_id=bot_1", data={"CallSid": CALL_ID}) as answer:
        assert answer.status == 200
        text = await answer.text()
    connect_ = ElementTree.fromstring(text)[0]
    assert connect_.attrib == {"action": f"https://bots.example/v1/voice/next?call={CALL_ID}.key.mac"}
    assert connect_[0].attrib == {"url": "wss://bots.example/voice/stream/bot_1"}
    assert connect_[0][0].attrib == {"name": "token", "value": "key.1.mac"}
    async with site.post(f"{path}?bot_id=bot_1", data={"CallSid": CALL_ID}) as again:
        assert await again.text() == text


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (RouteVerdict.PAUSED, "not taking calls"),
        (RouteVerdict.DAILY_LIMIT, "no more calls are taken today"),
        (RouteVerdict.BUSY, "all lines are busy"),
    ],
)
async def test_a_call_that_is_not_connected_hears_why(
    site: aiohttp.ClientSession, router: Router, verdict: RouteVerdict, says: str
) -> None:
    router.answer = CONNECTED.model_copy(update={"verdict": verdict})
    for path in ("/v1/voice", "/v1/voice/fallback"):
        async with site.post(f"{path}?bot_id=bot_1", data={"CallSid": CALL_ID}) as answer:
            assert answer.status == 200
            (say, sentence), (hang_up, _) = await spoken(answer)
        assert (say, hang_up) == ("Say", "Hangup") and says in sentence


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("invalid_bot", 400, "Invalid bot"),
        ("bot_not_found", 404, "Bot not found"),
        ("invalid_request", 400, "Invalid call"),
    ],
)
async def test_a_refusal_has_its_status_and_the_fallback_its_sentence(
    site: aiohttp.ClientSession, router: Router, code: str, status: int, says: str
) -> None:
    router.answer = Refused(code, "")
    async with site.post("/v1/voice?bot_id=bot_1", data={"CallSid": CALL_ID}) as answer:
        assert answer.status == status
        assert await spoken(answer) == [("Say", says)]
    failed = {"CallSid": CALL_ID, "ErrorCode": "11200", "ErrorUrl": str(answer.url)}
    async with site.post("/v1/voice/fallback", data=failed) as answer:
        assert answer.status == 200
        assert await spoken(answer) == [("Say", says), ("Hangup", "")]


@pytest.mark.parametrize("path", ["/v1/voice?bot_id=bot_1", "/v1/voice/fallback?bot_id=bot_1"])
@pytest.mark.parametrize("code", ["unavailable", "conflict", "internal_error"])
async def test_whatever_else_goes_wrong_the_caller_hears_a_sentence(
    site: aiohttp.ClientSession, router: Router, path: str, code: str
) -> None:
    router.answer = Refused(code, "")
    async with site.post(path, data={"CallSid": CALL_ID}) as answer:
        assert answer.status == 200
        assert await spoken(answer) == [("Say", BROKEN), ("Hangup", "")]


@pytest.mark.parametrize(
    "path", ["/v1/voice?bot_id=bot_1", f"/v1/voice/next?call={CALL_ID}.key.mac", "/v1/voice/fallback"]
)
async def test_without_a_router_the_caller_hears_a_sentence(site: aiohttp.ClientSession, path: str) -> None:
    async with site.post(path, data={"CallSid": CALL_ID}) as answer:
        assert answer.status == 200
        assert await spoken(answer) == [("Say", BROKEN), ("Hangup", "")]


@pytest.mark.parametrize("path", ["/v1/voice?bot_id=bot_1", f"/v1/voice/next?call={CALL_ID}.k.mac"])
@pytest.mark.parametrize("code", ["unavailable", "bad_signature"])
async def test_what_went_wrong_is_found_by_the_calls_id(
    site: aiohttp.ClientSession, router: Router, caplog: pytest.LogCaptureFixture, path: str, code: str
) -> None:
    router.answer = router.about = Refused(code, "")
    async with site.post(path, data={"CallSid": CALL_ID}):
        pass
    assert {getattr(line, "call_id", None) for line in caplog.records if line.levelname != "INFO"} == {
        CALL_ID
    }


async def test_without_a_router_a_status_may_come_again(site: aiohttp.ClientSession) -> None:
    async with site.post("/v1/voice/status", data={"CallSid": CALL_ID}) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"]


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_is_not_twilio_hears_nothing(
    site: aiohttp.ClientSession, router: Router, prefix: str, method: str
) -> None:
    router.answer = router.about = Refused("bad_signature", "")
    for path in (
        "/voice?bot_id=bot_1",
        f"/voice/next?call={CALL_ID}.key.mac",
        "/voice/fallback?bot_id=bot_1",
        f"/voice/fallback?ErrorUrl=x/voice/next?call={CALL_ID}.key.mac",
        "/voice/status?CallStatus=completed",
    ):
        parameters = {"CallSid": CALL_ID}
        query, form = (parameters, None) if method == "GET" else (None, parameters)
        async with site.request(method, prefix + path, params=query, data=form) as answer:
            assert (answer.status, await answer.read()) == (403, b""), path


@pytest.mark.parametrize("bot_id", ["a%20b", "x" * 65, "%C3%A9", "a.b", "%00", "..%2F"])
async def test_a_malformed_bot_is_refused_without_a_question(
    site: aiohttp.ClientSession, router: Router, bot_id: str
) -> None:
    async with site.post(URL(f"/v1/voice?bot_id={bot_id}", encoded=True)) as answer:
        assert answer.status == 400
        assert await spoken(answer) == [("Say", "Invalid bot")]
    error_url = quote(f"https://bots.example/v1/voice?bot_id={bot_id}", safe="")
    async with site.get(URL(f"/v1/voice/fallback?ErrorUrl={error_url}", encoded=True)) as answer:
        assert answer.status == 200
        assert await spoken(answer) == [("Say", "Invalid bot"), ("Hangup", "")]
    assert router.routed == []


@pytest.mark.parametrize("call_id", ["CA1", "CA" + "Z" * 32, "CA" + "AB" * 16, CALL_ID + "0", CALL_ID + "\n"])
async def test_a_malformed_call_is_refused_without_a_question(
    site: aiohttp.ClientSession, router: Router, call_id: str
) -> None:
    for path in (
        "/v1/voice?bot_id=bot_1",
        f"/v1/voice/next?call={CALL_ID}.key.mac",
        "/v1/voice/fallback?bot_id=bot_1",
        "/v1/voice/status",
    ):
        async with site.post(path, data={"CallSid": call_id}) as answer:
            assert answer.status == 400, path
            assert await spoken(answer) == [("Say", "Invalid call")]
    assert router.routed == [] and router.checked == []


@pytest.mark.parametrize(("path", "form"), [("next", {"CallSid": CALL_ID}), ("status", {})])
async def test_what_names_no_call_is_refused(
    site: aiohttp.ClientSession, router: Router, path: str, form: dict[str, str]
) -> None:
    async with site.post(f"/v1/voice/{path}", data=form) as answer:
        assert answer.status == 400
        assert await spoken(answer) == [("Say", "Invalid call")]
    assert router.checked == []


async def test_a_full_gateway_says_that_all_lines_are_busy(
    site: aiohttp.ClientSession, router: Router, calls: Calls
) -> None:
    calls.room = 0
    async with site.post("/v1/voice?bot_id=bot_1", data={"CallSid": CALL_ID}) as answer:
        (_, sentence), _ = await spoken(answer)
    assert "all lines are busy" in sentence and router.routed == []


async def test_a_gateway_that_drains_sends_the_call_to_an_open_door(
    site: aiohttp.ClientSession, router: Router, calls: Calls
) -> None:
    calls.draining = True
    async with site.post("/v1/voice?bot_id=bot_1", data={"CallSid": CALL_ID}) as answer:
        assert [verb for verb, _ in await spoken(answer)] == ["Connect"]


async def test_a_status_of_a_call_that_no_bot_took_is_taken(
    site: aiohttp.ClientSession, router: Router
) -> None:
    router.about = Refused("call_not_found", "")
    async with site.post("/v1/voice/status", data={"CallSid": CALL_ID, "CallStatus": "completed"}) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
