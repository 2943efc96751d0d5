"""The emulated REST API of Twilio, by its own words: shapes, error bodies, what survives a restart."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from callbot.studio.account import ACCOUNTS_FILE, Account, Accounts
from callbot.studio.emulator.rest import TwilioRest, twilio_in
from studio.tests.emulator_platform import Platform, echo, running_platform

ACCOUNTS = Accounts(Account("AC" + "1" * 32, "platform-token"), Account("AC" + "2" * 32, "customer-token"))
HERE = f"/2010-04-01/Accounts/{ACCOUNTS.platform.sid}"
NUMBERS = f"{HERE}/IncomingPhoneNumbers"
CALLS = f"{HERE}/Calls"


@asynccontextmanager
async def served(
    data: Path, account: Account = ACCOUNTS.platform
) -> AsyncIterator[tuple[aiohttp.ClientSession, TwilioRest, str]]:
    (data / ACCOUNTS_FILE).write_text(ACCOUNTS.written())
    rest = twilio_in(data)
    runner = web.AppRunner(rest.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        auth = {"Authorization": aiohttp.encode_basic_auth(account.sid, account.auth_token or "")}
        async with aiohttp.ClientSession(url, headers=auth) as session:
            yield session, rest, url
    finally:
        await runner.cleanup()


@pytest.fixture
async def twilio(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with served(tmp_path) as (session, _, _):
        yield session


async def ask(
    session: aiohttp.ClientSession, method: str, path: str, status: int, form: dict[str, str] | None = None
) -> dict[str, Any]:
    async with session.request(method, path, data=form) as answer:
        body: dict[str, Any] = json.loads(await answer.text() or "{}")
        assert answer.status == status, body
    if status >= 400:
        assert body == {
            "code": body["code"],
            "message": body["message"],
            "more_info": f"https://www.twilio.com/docs/errors/{body['code']}",
            "status": status,
        }
    return body


async def test_a_number_is_searched_bought_changed_and_released(twilio: aiohttp.ClientSession) -> None:
    found = await ask(
        twilio, "GET", f"{HERE}/AvailablePhoneNumbers/US/Local.json?AreaCode=512&PageSize=2", 200
    )
    first, second = (number["phone_number"] for number in found["available_phone_numbers"])
    assert first.startswith("+1512") and first != second
    assert found["available_phone_numbers"][0]["capabilities"]["voice"] is True
    form = {
        "PhoneNumber": first,
        "FriendlyName": "callbot bot_1",
        "VoiceUrl": "http://127.0.0.1:8080/v1/voice",
    }
    bought = await ask(twilio, "POST", f"{NUMBERS}.json", 201, form)
    assert (bought["voice_url"], bought["voice_method"]) == (form["VoiceUrl"], "POST")
    assert bought["uri"] == f"{NUMBERS}/{bought['sid']}.json"
    assert parsedate_to_datetime(bought["date_created"]).utcoffset() is not None
    taken = await ask(twilio, "POST", f"{NUMBERS}.json", 400, form)
    assert taken["code"] == 21422
    again = await ask(twilio, "GET", f"{HERE}/AvailablePhoneNumbers/US/Local.json?Contains={first[1:]}", 200)
    assert again["available_phone_numbers"] == []
    changed = await ask(
        twilio, "POST", bought["uri"], 200, {"VoiceUrl": "", "StatusCallback": "https://a.example/s"}
    )
    assert (changed["voice_url"], changed["status_callback"]) == ("", "https://a.example/s")
    assert await ask(twilio, "GET", bought["uri"], 200) == changed
    assert await ask(twilio, "DELETE", bought["uri"], 204) == {}
    gone = await ask(twilio, "DELETE", bought["uri"], 404)
    assert gone["code"] == 20404


async def test_numbers_are_found_by_name_and_by_number_page_by_page(twilio: aiohttp.ClientSession) -> None:
    for name in ("a", "b", "b"):
        await ask(twilio, "POST", f"{NUMBERS}.json", 201, {"AreaCode": "206", "FriendlyName": name})
    page = await ask(twilio, "GET", f"{NUMBERS}.json?FriendlyName=b&PageSize=1", 200)
    assert (len(page["incoming_phone_numbers"]), page["page_size"], page["previous_page_uri"]) == (1, 1, None)
    second = await ask(twilio, "GET", page["next_page_uri"], 200)
    assert second["next_page_uri"] is None
    both = {page["incoming_phone_numbers"][0]["sid"], second["incoming_phone_numbers"][0]["sid"]}
    assert len(both) == 2
    number = second["incoming_phone_numbers"][0]["phone_number"]
    exact = await ask(twilio, "GET", f"{NUMBERS}.json?PhoneNumber=%2B{number[1:]}", 200)
    assert [n["phone_number"] for n in exact["incoming_phone_numbers"]] == [number]
    masked = await ask(twilio, "GET", f"{NUMBERS}.json?PhoneNumber=%2B1206555****", 200)
    assert len(masked["incoming_phone_numbers"]) == 3


@pytest.mark.parametrize(
    ("method", "path", "form", "status", "code"),
    [
        ("GET", f"{NUMBERS}/PN{'0' * 32}.json", None, 404, 20404),
        ("GET", f"{HERE}/Nothing.json", None, 404, 20404),
        ("PUT", f"{NUMBERS}.json", None, 405, 20004),
        ("GET", f"{NUMBERS}.json?PageSize=x", None, 400, 20001),
        ("GET", f"{HERE}/AvailablePhoneNumbers/ZZ/Local.json", None, 404, 20404),
        ("POST", f"{NUMBERS}.json", {}, 400, 21421),
        ("POST", f"{NUMBERS}.json", {"PhoneNumber": "call me"}, 400, 21421),
        ("POST", f"{NUMBERS}.json", {"PhoneNumber": "+442079460000"}, 400, 21422),
        ("POST", f"{NUMBERS}.json", {"AreaCode": "000"}, 400, 21452),
        ("POST", f"{NUMBERS}.json", {"AreaCode": "415", "VoiceUrl": "nonsense"}, 400, 21402),
        ("POST", f"{NUMBERS}.json", {"AreaCode": "415", "VoiceMethod": "PUT"}, 400, 21403),
        ("POST", f"{NUMBERS}.json", {"AreaCode": "415", "VoiceFallbackUrl": "https://a.example"}, 400, 21405),
        ("POST", f"{CALLS}.json", {"From": "+1"}, 400, 21201),
        ("POST", f"{CALLS}.json", {"From": "+1", "To": "+14155550000"}, 400, 21205),
        ("POST", f"{CALLS}/CA{'0' * 32}.json", {"Status": "completed"}, 404, 20404),
    ],
)
async def test_what_twilio_refuses(
    twilio: aiohttp.ClientSession, method: str, path: str, form: dict[str, str] | None, status: int, code: int
) -> None:
    assert (await ask(twilio, method, path, status, form))["code"] == code
    assert (await ask(twilio, "GET", f"{NUMBERS}.json", 200))["incoming_phone_numbers"] == []


async def test_only_the_account_itself_may_ask(tmp_path: Path) -> None:
    async with served(tmp_path, Account(ACCOUNTS.platform.sid, "wrong")) as (session, _, _):
        assert (await ask(session, "GET", f"{NUMBERS}.json", 401))["code"] == 20003
        async with session.get(f"{NUMBERS}.json", headers={"Authorization": "Basic x"}) as answer:
            assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Basic")
    async with served(tmp_path, ACCOUNTS.customer) as (session, _, _):
        assert (await ask(session, "GET", f"{NUMBERS}.json", 404))["code"] == 20404
        mine = f"/2010-04-01/Accounts/{ACCOUNTS.customer.sid}/IncomingPhoneNumbers.json"
        (number,) = (await ask(session, "GET", mine, 200))["incoming_phone_numbers"]
        assert (number["voice_url"], number["account_sid"]) == ("", ACCOUNTS.customer.sid)


async def test_too_many_requests_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    async with served(tmp_path) as (session, rest, _):
        rest.busy = 1
        assert (await ask(session, "POST", f"{NUMBERS}.json", 429, {"AreaCode": "415"}))["code"] == 20429
        assert (await ask(session, "GET", f"{NUMBERS}.json", 200))["incoming_phone_numbers"] == []
        rest.down = 1
        await ask(session, "POST", f"{NUMBERS}.json", 503, {"AreaCode": "415"})
        assert len((await ask(session, "GET", f"{NUMBERS}.json", 200))["incoming_phone_numbers"]) == 1


async def test_numbers_survive_a_restart_and_are_private(tmp_path: Path) -> None:
    async with served(tmp_path) as (session, _, _):
        bought = await ask(session, "POST", f"{NUMBERS}.json", 201, {"AreaCode": "617"})
    async with served(tmp_path) as (session, _, _):
        assert await ask(session, "GET", bought["uri"], 200) == bought
    assert (tmp_path / "twilio-numbers.json").stat().st_mode & 0o777 == 0o600


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with running_platform(ACCOUNTS.platform.auth_token or "") as platform:
        yield platform


async def until_status(session: aiohttp.ClientSession, uri: str, wanted: str) -> dict[str, Any]:
    for _ in range(100):
        call = await ask(session, "GET", uri, 200)
        if call["status"] == wanted:
            return call
    raise AssertionError(f"the call never was {wanted}: {call}")


async def test_a_call_to_an_own_number_rings_and_is_ended(
    twilio: aiohttp.ClientSession, platform: Platform
) -> None:
    platform.connects(echo)
    form = {"AreaCode": "312", "VoiceUrl": f"{platform.url}/v1/voice"}
    number = (await ask(twilio, "POST", f"{NUMBERS}.json", 201, form))["phone_number"]
    wanted = {"To": number, "From": "+14155550100", "Twiml": "<Response/>"}
    call = await ask(twilio, "POST", f"{CALLS}.json", 201, wanted)
    assert call["status"] == "queued"
    await until_status(twilio, call["uri"], "in-progress")
    assert platform.form("/v1/voice")["To"] == number
    assert platform.form("/v1/voice")["AccountSid"] == ACCOUNTS.platform.sid
    await ask(twilio, "POST", call["uri"], 200, {"Status": "completed"})
    ended = await until_status(twilio, call["uri"], "completed")
    assert (
        ended["end_time"]
        and (await ask(twilio, "POST", call["uri"], 400, {"Status": "completed"}))["code"] == 21220
    )


async def test_a_call_to_a_strange_number_is_recorded(twilio: aiohttp.ClientSession) -> None:
    form = {"To": "+442079460000", "From": "+14155550100", "Url": "https://a.example/twiml"}
    call = await ask(twilio, "POST", f"{CALLS}.json", 201, form)
    assert (await ask(twilio, "GET", call["uri"], 200))["status"] == "no-answer"
