"""`callbot call` and `callbot numbers` with an emulated Twilio: a number is called as it is set up."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from callbot.studio.account import Account
from callbot.studio.emulator.call_command import DONE, NOT_PLACED, place_call
from callbot.studio.emulator.numbers_command import show_numbers
from callbot.studio.emulator.rest import TwilioRest
from callbot.studio.up.twilio import LocalTwilio
from studio.tests.emulator_platform import Platform, echo, running_platform
from studio.tests.test_emulator_rest import ACCOUNTS, served

CUSTOMER, PLATFORM = ACCOUNTS.customer, ACCOUNTS.platform


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[tuple[TwilioRest, LocalTwilio]]:
    async with served(tmp_path) as (_, rest, url):
        yield rest, LocalTwilio(url, ACCOUNTS)


def connect(rest: TwilioRest, url: str, account: Account = CUSTOMER, **form: str) -> str:
    """Sets the URLs of the account's first number, which is bought where there is none; the number."""
    found = rest.numbers.listed(account.sid, {}) or [rest.numbers.buy(account.sid, {"AreaCode": "415"})]
    urls = {"VoiceUrl": f"{url}/v1/voice", "StatusCallback": f"{url}/v1/voice/status"}
    changed = rest.numbers.change(found[0], urls | form)
    return str(changed["phone_number"])


async def call(to: str, url: str, twilio: LocalTwilio) -> tuple[int, str]:
    out = io.StringIO()
    return await place_call(to, [], url=url, voice="scripted", twilio=twilio, out=out), out.getvalue()


async def test_a_number_is_called_as_its_account_has_set_it_up(rest: tuple[TwilioRest, LocalTwilio]) -> None:
    async with running_platform(CUSTOMER.auth_token) as platform:
        platform.connects(echo)
        platform.documents["/v1/voice/status"] = "<Response/>"
        number = connect(rest[0], platform.url)
        code, printed = await call(number, "http://127.0.0.1:1", rest[1])
        assert code == DONE, printed
        form = platform.form("/v1/voice")
        assert (form["To"], form["AccountSid"]) == (number, CUSTOMER.sid)
        assert platform.form("/v1/voice/status")["CallStatus"] == "completed"


async def test_the_fallback_url_is_asked_when_the_voice_url_fails(
    rest: tuple[TwilioRest, LocalTwilio],
) -> None:
    async with running_platform(CUSTOMER.auth_token) as platform:
        platform.documents["/v1/voice"] = web.Response(status=404)
        platform.documents["/v1/elsewhere"] = "<Response><Say>Sorry</Say></Response>"
        platform.documents["/v1/voice/status"] = "<Response/>"
        number = connect(rest[0], platform.url, VoiceFallbackUrl=f"{platform.url}/v1/elsewhere")
        code, printed = await call(number, platform.url, rest[1])
        assert (code, "Sorry" in printed) == (NOT_PLACED, True)
        assert platform.form("/v1/elsewhere")["ErrorCode"] == "11200"


async def test_a_number_that_uses_get(rest: tuple[TwilioRest, LocalTwilio]) -> None:
    async with running_platform(CUSTOMER.auth_token) as platform:
        asked: list[str] = []

        async def busy(request: web.Request) -> web.Response:
            asked.append(request.method)
            return web.Response(body="<Response><Reject/></Response>", content_type="application/xml")

        platform.documents |= {"/v1/voice": busy, "/v1/voice/status": "<Response/>"}
        number = connect(rest[0], platform.url, VoiceMethod="GET")
        assert (await call(number, platform.url, rest[1]))[0] == NOT_PLACED
        assert asked == ["GET"]


async def test_a_bots_call_is_signed_by_the_account_of_its_number(
    rest: tuple[TwilioRest, LocalTwilio],
) -> None:
    async def signed_by(account: Account | None, bot_id: str, platform: Platform) -> None:
        platform.token = account.auth_token if account else None
        platform.sockets.clear()
        platform.conversations.clear()
        platform.connects(echo)
        code, printed = await call(bot_id, platform.url, rest[1])
        assert code == DONE, printed

    async with running_platform() as platform:
        platform.documents["/v1/voice/status"] = "<Response/>"
        await signed_by(None, "bot_1", platform)
        connect(rest[0], platform.url, PLATFORM, FriendlyName="callbot bot_2")
        await signed_by(PLATFORM, "bot_2", platform)
        await signed_by(None, "bot_1", platform)
        connect(rest[0], platform.url, CUSTOMER)
        await signed_by(CUSTOMER, "bot_1", platform)


async def test_numbers_that_nobody_answers(rest: tuple[TwilioRest, LocalTwilio]) -> None:
    number = rest[0].numbers.listed(CUSTOMER.sid, {})[0]["phone_number"]
    assert "has no voice URL" in (await call(number, "http://127.0.0.1:1", rest[1]))[1]
    assert "nobody owns +14155559999" in (await call("+14155559999", "http://127.0.0.1:1", rest[1]))[1]
    away = LocalTwilio("http://127.0.0.1:1", ACCOUNTS)
    assert (await call(number, "http://127.0.0.1:1", away))[0] == NOT_PLACED


async def test_the_numbers_are_shown_with_what_connect_twilio_takes(
    rest: tuple[TwilioRest, LocalTwilio], capsys: pytest.CaptureFixture[str]
) -> None:
    number = connect(rest[0], "http://127.0.0.1:1")
    assert await show_numbers(rest[1], as_json=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["numbers"][0]["phone_number"] == number
    assert shown["connect_twilio"]["auth_token"] == CUSTOMER.auth_token
    assert await show_numbers(rest[1], as_json=False) == 0
    table = capsys.readouterr().out
    assert number in table and PLATFORM.auth_token is not None and PLATFORM.auth_token not in table
    assert await show_numbers(LocalTwilio("http://127.0.0.1:1", ACCOUNTS), as_json=False) == 1
