"""Requests to Twilio's REST API: what is repeated, what is not, and what every bad answer becomes."""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator

import pytest

from callbot.call_router import twilio_api
from callbot.call_router.number_settings import NumberSettings
from callbot.call_router.twilio_api import PhoneNumber, TwilioAccount, TwilioApi, open_twilio
from callbot.call_router.twilio_errors import (
    TwilioAuthFailed,
    TwilioError,
    TwilioNotFound,
    TwilioRejected,
    TwilioUnavailable,
)
from tests.servers import free_port
from tests.vendors.twilio_rest import Account, TwilioRest, basic, running_twilio

OURS = NumberSettings("https://voice.example.com")


@pytest.fixture
async def rest() -> AsyncIterator[TwilioRest]:
    async with running_twilio() as rest:
        yield rest


@pytest.fixture
async def api(rest: TwilioRest) -> AsyncIterator[TwilioApi]:
    async with open_twilio(rest.url) as api:
        yield api


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twilio_api, "REQUEST_S", 0.2)
    monkeypatch.setattr(twilio_api, "BACKOFF_S", 0.01)


def of(account: Account) -> TwilioAccount:
    return TwilioAccount(account.sid, account.token)


async def test_a_number_is_found_changed_and_released(rest: TwilioRest, api: TwilioApi) -> None:
    account = rest.account()
    sid = account.owns("+14155550100", voice_url="https://x.example/ivr")["sid"]
    assert (await api.number(of(account), sid)).voice_url == "https://x.example/ivr"
    await api.change_number(of(account), sid, {"VoiceUrl": "https://y.example/"})
    assert account.numbers[sid]["voice_url"] == "https://y.example/"
    await api.release(of(account), sid)
    assert account.numbers == {}
    await api.release(of(account), sid)


async def test_a_number_is_searched_bought_and_found_by_its_name(rest: TwilioRest, api: TwilioApi) -> None:
    account = rest.account()
    found = await api.available_numbers(of(account), "US", "415")
    (asked,) = rest.of("search")
    assert asked.path.endswith("/AvailablePhoneNumbers/US/Local.json")
    assert asked.query["AreaCode"] == "415" and asked.query["VoiceEnabled"] == "true"
    bought = await api.buy(of(account), found[0], "callbot bot_1", OURS.of_a_new_number())
    assert account.numbers[bought.sid]["voice_url"] == "https://voice.example.com/v1/voice"
    account.owns("+14155550101", friendly_name="callbot bot_10")
    assert [n.sid for n in await api.numbers_named(of(account), "callbot bot_1")] == [bought.sid]


async def test_a_number_that_only_resembles_the_name_is_not_taken_for_it(
    rest: TwilioRest, api: TwilioApi
) -> None:
    account = rest.account()
    account.owns("+14155550101", friendly_name="callbot bot_10")
    rest.ignores_filters = True
    assert await api.numbers_named(of(account), "callbot bot_1") == []


@pytest.mark.parametrize(
    ("day", "error"),
    [
        ("401", TwilioAuthFailed),
        ("403", TwilioAuthFailed),
        ("404", TwilioNotFound),
        ("400", TwilioRejected),
        ("500", TwilioUnavailable),
        ("429", TwilioUnavailable),
        ("hang", TwilioUnavailable),
        ("stall", TwilioUnavailable),
        ("cut", TwilioUnavailable),
        ("noise", TwilioUnavailable),
        ("garbage", TwilioUnavailable),
        ("list", TwilioUnavailable),
        ("huge", TwilioUnavailable),
        ("elsewhere", TwilioUnavailable),
    ],
)
@pytest.mark.parametrize("what", ["fetch", "update", "release", "search", "list", "buy"])
async def test_a_bad_answer(
    rest: TwilioRest, api: TwilioApi, quick: None, what: str, day: str, error: type[TwilioError]
) -> None:
    if (what, day) == ("release", "404"):
        return
    account = rest.account()
    sid = account.owns("+14155550100")["sid"]
    asking = {
        "fetch": lambda: api.number(of(account), sid),
        "update": lambda: api.change_number(of(account), sid, OURS.ours()),
        "release": lambda: api.release(of(account), sid),
        "search": lambda: api.available_numbers(of(account), "US", ""),
        "list": lambda: api.numbers_named(of(account), "callbot bot_1"),
        "buy": lambda: api.buy(of(account), rest.stock[0], "callbot bot_1", {}),
    }
    rest.has(what, day, always=True)
    with pytest.raises(error) as raised:
        await asking[what]()
    tries = 1 if what == "buy" or error is not TwilioUnavailable else 3
    if day == "cut" and what not in ("buy", "update"):
        tries *= 2  # aiohttp itself repeats what is idempotent and was cut off.
    assert len(rest.of(what)) == tries
    told = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert not any(secret in told for secret in (account.token, basic(account)))
    if isinstance(raised.value, TwilioUnavailable):
        assert raised.value.may_have_happened == (day != "429")


async def test_it_tries_again_where_that_is_safe(rest: TwilioRest, api: TwilioApi, quick: None) -> None:
    account = rest.account()
    sid = account.owns("+14155550100")["sid"]
    rest.has("fetch", "500", "cut")
    assert (await api.number(of(account), sid)).sid == sid
    rest.has("release", "lost")
    await api.release(of(account), sid)
    assert account.numbers == {} and len(rest.of("release")) == 2


async def test_it_waits_as_long_as_twilio_says(rest: TwilioRest, api: TwilioApi) -> None:
    account = rest.account()
    sid = account.owns("+14155550100")["sid"]
    rest.has("fetch", "429 1")
    began_s = time.monotonic()
    await api.number(of(account), sid)
    assert 0.9 < time.monotonic() - began_s < 2
    rest.has("fetch", "429 60")
    began_s = time.monotonic()
    with pytest.raises(TwilioUnavailable):
        await api.number(of(account), sid)
    assert time.monotonic() - began_s < 0.5


@pytest.mark.parametrize("day", ["429", "429 1", "500", "cut", "lost", "hang"])
async def test_buying_is_asked_once(rest: TwilioRest, api: TwilioApi, quick: None, day: str) -> None:
    account = rest.account()
    rest.has("buy", day)
    with pytest.raises(TwilioUnavailable):
        await api.buy(of(account), rest.stock[0], "callbot bot_1", {})
    assert len(rest.of("buy")) == 1


async def test_a_server_that_is_not_there_has_certainly_done_nothing() -> None:
    async with open_twilio(f"http://127.0.0.1:{free_port()}") as api:
        with pytest.raises(TwilioUnavailable) as raised:
            await api.buy(TwilioAccount("AC1", "secret-token"), "+14155550100", "callbot bot_1", {})
    assert not raised.value.may_have_happened


async def test_one_request_has_three_seconds(rest: TwilioRest, api: TwilioApi) -> None:
    account = rest.account()
    rest.has("buy", "hang")
    rest.has("search", "stall", always=True)
    began_s = time.monotonic()
    answers = await asyncio.gather(
        api.buy(of(account), rest.stock[0], "x", {}),
        api._ask(of(account), "GET", "AvailablePhoneNumbers/US/Local.json", tries=1),
        return_exceptions=True,
    )
    assert all(isinstance(answer, TwilioUnavailable) for answer in answers)
    assert 2.9 < time.monotonic() - began_s < 4


def test_a_token_is_not_shown() -> None:
    assert "secret-token" not in repr(TwilioAccount("AC1", "secret-token"))


def a_number(**fields: str) -> PhoneNumber:
    return PhoneNumber(sid="PN1", phone_number="+14155550100", **fields)


class TestSettings:
    """What is remembered of a number, and what is put back."""

    THEIRS = {"voice_url": "https://x.example/ivr", "voice_method": "GET", "trunk_sid": "TK1"}

    def test_what_was_there(self) -> None:
        before = OURS.before(a_number(**self.THEIRS), None)
        assert before["VoiceUrl"] == "https://x.example/ivr"
        assert before["VoiceMethod"] == "GET"
        assert before["TrunkSid"] == "TK1"
        assert before["StatusCallback"] == ""

    @pytest.mark.parametrize(
        "url",
        [
            "https://voice.example.com/v1/voice",
            "https://voice.example.com:443/v1/voice",
            "HTTPS://Voice.Example.COM/v1/voice",
            "https://voice.example.com/voice?bot_id=bot_1",
        ],
    )
    def test_our_own_is_not_remembered(self, url: str) -> None:
        number = a_number(voice_url=url, status_callback="https://theirs.example/")
        assert OURS.before(number, None)["VoiceUrl"] == ""
        earlier = {"VoiceUrl": "https://x.example/ivr", "VoiceMethod": "GET", "TrunkSid": "TK1"}
        before = OURS.before(number, earlier)
        assert before["VoiceUrl"] == "https://x.example/ivr"
        assert before["TrunkSid"] == "TK1"
        assert before["StatusCallback"] == "https://theirs.example/"

    @pytest.mark.parametrize(
        "url", ["https://voice.example.com.evil.example/v1/voice", "http://voice.example.com/", "not a url"]
    )
    def test_what_only_looks_like_ours_is_remembered(self, url: str) -> None:
        assert OURS.before(a_number(voice_url=url), None)["VoiceUrl"] == url

    def test_our_urls_of_before_a_move_are_ours(self) -> None:
        old = NumberSettings("https://old.example.com").ours()
        number = a_number(
            voice_url=old["VoiceUrl"],
            voice_fallback_url=old["VoiceFallbackUrl"],
            status_callback=old["StatusCallback"],
        )
        earlier = {"VoiceUrl": "https://x.example/ivr"}
        assert OURS.before(number, earlier)["VoiceUrl"] == "https://x.example/ivr"
        assert OURS.put_back(number, earlier)["VoiceUrl"] == "https://x.example/ivr"

    def test_a_public_address_with_a_path(self) -> None:
        ours = NumberSettings("https://shared.example.com/callbot")
        before = ours.before(a_number(voice_url="https://shared.example.com/ivr"), None)
        assert before["VoiceUrl"] == "https://shared.example.com/ivr"
        assert ours.before(a_number(voice_url=ours.ours()["VoiceUrl"]), None)["VoiceUrl"] == ""

    def test_what_the_owner_has_set_meanwhile_stays(self) -> None:
        before = OURS.before(a_number(**self.THEIRS), None)
        assert OURS.put_back(a_number(voice_url="https://new.example/"), before) == {}
        ours = OURS.ours()
        taken = a_number(voice_url=ours["VoiceUrl"], status_callback="https://new.example/")
        back = OURS.put_back(taken, before)
        assert back == {"VoiceUrl": "https://x.example/ivr", "VoiceMethod": "GET", "TrunkSid": "TK1"}
        assert OURS.put_back(taken.model_copy(update={"voice_application_sid": "AP1"}), before) == {
            "VoiceUrl": "https://x.example/ivr",
            "VoiceMethod": "GET",
        }
