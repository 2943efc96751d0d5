"""`callbot call` and `callbot numbers` on a platform that asks for credentials and signatures."""

import asyncio
import io
import json
import subprocess
import sys

from callbot.studio.emulator.call_command import DONE, NOT_PLACED, Step, StepKind, place_call
from callbot.studio.up import Platform
from tests.e2e.user import User, signed_up, twilio_asked
from tests.vendors.customer import Customer

STEPS = [Step(StepKind.SAY, "A table for four")]


async def called(to: str, user: User, platform: Platform) -> tuple[int, str]:
    out = io.StringIO()
    token = user.headers["Authorization"].partition(" ")[2]
    code = await place_call(
        to, STEPS, url=platform.url, voice="scripted", twilio=platform.twilio, token=token, out=out
    )
    return code, out.getvalue()


async def test_a_bought_and_a_connected_number_are_called(
    strict_platform: Platform, customer: Customer, name: str
) -> None:
    async with signed_up(strict_platform) as user:
        bought = await user.bot(customer.webhook("echo", name))
        for to in (bought["number"], bought["id"]):
            code, printed = await called(to, user, strict_platform)
            assert code == DONE and "I heard A table for four" in printed, printed
        calls = await user.ask("GET", f"/v1/calls?bot_id={bought['id']}")
        assert [call["to"] for call in calls] == [bought["number"]] * 2
        connected = await user.connect(strict_platform)
        shown = await user.ask("GET", f"/v1/bots/{bought['id']}")
        assert shown["number"] == connected, "the connected one comes first"
        await user.ask("DELETE", f"/v1/bots/{bought['id']}")
        bot = await user.bot(customer.webhook("echo", name))
        assert bot["number"] == connected
        for to in (connected, bot["id"]):
            code, printed = await called(to, user, strict_platform)
            assert code == DONE and "I heard A table for four" in printed, printed
        await user.ask("DELETE", "/v1/my-number")
        code, printed = await called(connected, user, strict_platform)
        assert code == NOT_PLACED and "no voice URL" in printed


async def test_the_fallback_says_why_nobody_answers(strict_platform: Platform) -> None:
    """The number's voice URL names a bot that is gone: a 404, which Twilio does not play."""
    async with signed_up(strict_platform) as user:
        await user.bot()
        number = await user.connect(strict_platform)
        query = {"PhoneNumber": number}
        listed = await twilio_asked(strict_platform, "GET", "IncomingPhoneNumbers", query=query)
        sid = listed["incoming_phone_numbers"][0]["sid"]
        form = {"VoiceUrl": f"{strict_platform.url}/v1/voice?bot_id=bot_gone"}
        await twilio_asked(strict_platform, "POST", "IncomingPhoneNumbers", sid, form=form)
        code, printed = await called(number, user, strict_platform)
        assert code == NOT_PLACED and "there is no such bot" in printed and "11200" in printed
        await user.ask("DELETE", "/v1/my-number")


async def test_numbers_from_the_command_line(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        bot = await user.bot()
        command = ("-m", "callbot.studio.cli", "numbers", "--json", "--data", str(strict_platform.data))
        shown = await asyncio.to_thread(
            subprocess.run, [sys.executable, *command], capture_output=True, text=True, timeout=20, check=True
        )
        told = json.loads(shown.stdout)
        assert bot["number"] in {number["phone_number"] for number in told["numbers"]}
        assert told["connect_twilio"]["account_sid"] == strict_platform.twilio.accounts.customer.sid
