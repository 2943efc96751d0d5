"""A customer's whole way, from sign-up to a live number, on a platform that asks who they are."""

import asyncio
import json

from callbot.studio.emulator import Emulator
from callbot.studio.up import Platform
from tests.e2e.user import Json, User, ringing, signed_up, twilio_asked
from tests.vendors.customer import Customer

GREETING = "Hello! How can I help you?"


async def events_of(user: User, call_id: str, after: str = "") -> list[tuple[str, str, Json]]:
    """Each event's id, name and data, until the server ends the stream."""
    found: list[tuple[str, str, Json]] = []
    headers = {**user.headers, **({"Last-Event-ID": after} if after else {})}
    async with asyncio.timeout(30), user.http.get(f"/v1/calls/{call_id}/events", headers=headers) as answer:
        if answer.status == 204:
            return []
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        fields: dict[str, str] = {}
        async for line in answer.content:
            name, colon, value = line.decode().rstrip("\n").partition(": ")
            if name and colon:
                fields[name] = value
            elif not name and "data" in fields:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                fields = {}
    return found


async def ended(user: User, call_id: str) -> Json:
    for _ in range(100):
        call: Json = await user.ask("GET", f"/v1/calls/{call_id}")
        # `line_lost` is a guess, until the call's own gateway has said why.
        if call["ended_at"] and call["end_reason"] != "line_lost":
            return call
        await asyncio.sleep(0.1)
    raise AssertionError(f"the record of {call_id} was not completed")


async def test_from_sign_up_to_a_live_number_and_back(
    strict_platform: Platform, customer: Customer, name: str
) -> None:
    async with signed_up(strict_platform) as user, Emulator(strict_platform.url) as emulator:
        await user.refused("GET", "/v1/my-number", 404, "no_number")
        phone_number = await user.connect(strict_platform)
        number = await ringing(strict_platform, phone_number)
        assert number.voice.url == f"{strict_platform.url}/v1/voice"
        assert number.fallback is not None and number.fallback.url.endswith("/v1/voice/fallback")
        assert number.status is not None and number.status.url.endswith("/v1/voice/status")
        bot = await user.bot(customer.webhook("echo", name))
        assert bot["number"] == phone_number and bot["default"]
        assert await user.ask("GET", "/v1/my-number") == {"phone_number": phone_number, "bots_count": 1}

        async with emulator.dial(to=number) as call:
            await call.hears(GREETING)
            watching = asyncio.create_task(events_of(user, call.sid))
            await user.refused("DELETE", f"/v1/calls/{call.sid}", 409, "call_live")
            await call.says("A table for four")
            assert (await call.reply()).texts == ("I heard A table for four",)
        assert call.complaints.faults() == []

        record = await ended(user, call.sid)
        assert (record["bot_id"], record["to"]) == (bot["id"], phone_number)
        assert record["turns"][1]["user_text"] == "A table for four"
        seen = await watching
        assert [event for _, event, _ in seen] == ["started", "turn", "turn", "ended"]
        rest = await events_of(user, call.sid, after=seen[1][0])
        assert [at for at, _, _ in rest] == [at for at, _, _ in seen[2:]]
        assert [c["call_id"] for c in await user.ask("GET", f"/v1/calls?bot_id={bot['id']}")] == [call.sid]
        assert (await user.ask("GET", f"/v1/bots/{bot['id']}"))["calls_today"] == 1

        await user.ask("DELETE", f"/v1/calls/{call.sid}")
        await user.refused("GET", f"/v1/calls/{call.sid}", 404, "call_not_found")
        await user.refused("GET", f"/v1/calls/{call.sid}/events", 404, "call_not_found")
        assert await user.ask("DELETE", f"/v1/bots/{bot['id']}") == {"message": "Bot deleted"}
        await user.ask("DELETE", "/v1/my-number")
        await user.refused("GET", "/v1/my-number", 404, "no_number")
        left = await twilio_asked(strict_platform, "GET", "IncomingPhoneNumbers", number.sid)
        assert (left["voice_url"], left["voice_fallback_url"], left["status_callback"]) == ("", "", "")


async def test_a_bought_number_is_called_and_released(
    strict_platform: Platform, customer: Customer, name: str
) -> None:
    async with signed_up(strict_platform) as user, Emulator(strict_platform.url) as emulator:
        bot = await user.bot(customer.webhook("echo", name))
        number = await ringing(strict_platform, bot["number"])
        assert number.account == strict_platform.twilio.accounts.platform
        async with emulator.dial(to=number) as call:
            await call.hears(GREETING)
        assert (await ended(user, call.sid))["end_reason"] == "caller_hung_up"
        await user.ask("DELETE", f"/v1/bots/{bot['id']}")
        try:
            await ringing(strict_platform, bot["number"])
        except LookupError:
            return
        raise AssertionError(f"{bot['number']} was not released")


async def test_what_belongs_to_another_user_is_not_there(
    strict_platform: Platform, customer: Customer, name: str
) -> None:
    async with signed_up(strict_platform) as user, Emulator(strict_platform.url) as emulator:
        phone_number = await user.connect(strict_platform)
        bot = await user.bot(customer.webhook("echo", name))
        key = await user.ask("POST", "/v1/api-keys", 201, {"name": "mine"})
        async with emulator.dial(to=await ringing(strict_platform, phone_number)) as call:
            await call.hears(GREETING)
            async with signed_up(strict_platform) as other:
                await sees_nothing(other, bot["id"], call.sid, key["id"])
                await other.refused("GET", f"/v1/calls/{call.sid}/events", 404, "call_not_found")
                account = strict_platform.twilio.accounts.customer
                number = await ringing(strict_platform, phone_number)
                theirs = {
                    "account_sid": account.sid,
                    "auth_token": account.auth_token,
                    "phone_number_sid": number.sid,
                }
                await other.refused("POST", "/v1/connect-twilio", 409, "number_taken", theirs)
        assert (await user.ask("GET", f"/v1/bots/{bot['id']}"))["goal"] == "Test"
        keyed = User(user.http, {"X-API-Key": key["key"]})
        assert (await keyed.ask("GET", f"/v1/bots/{bot['id']}"))["id"] == bot["id"]
        await user.ask("DELETE", f"/v1/api-keys/{key['id']}")
        await keyed.refused("GET", "/v1/bots", 401, "unauthorized")


async def sees_nothing(other: User, bot_id: str, call_id: str, key_id: str) -> None:
    assert await other.ask("GET", "/v1/bots") == []
    assert await other.ask("GET", "/v1/calls") == []
    assert await other.ask("GET", f"/v1/calls?bot_id={bot_id}") == []
    assert await other.ask("GET", "/v1/api-keys") == []
    await other.refused("GET", "/v1/my-number", 404, "no_number")
    for method, path, code, body in (
        ("GET", f"/v1/bots/{bot_id}", "bot_not_found", None),
        ("PATCH", f"/v1/bots/{bot_id}", "bot_not_found", {"goal": "Mine now"}),
        ("POST", f"/v1/bots/{bot_id}/test-webhook", "bot_not_found", {}),
        ("DELETE", f"/v1/bots/{bot_id}", "bot_not_found", None),
        ("GET", f"/v1/calls/{call_id}", "call_not_found", None),
        ("DELETE", f"/v1/calls/{call_id}", "call_not_found", None),
        ("DELETE", f"/v1/api-keys/{key_id}", "key_not_found", None),
    ):
        await other.refused(method, path, 404, code, body)


async def test_nobody_comes_in_without_a_credential(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        for headers in (
            {},
            {"Authorization": "Bearer x"},
            {"Authorization": "Basic eDp4"},
            {"X-API-Key": "x"},
        ):
            stranger = User(user.http, headers)
            for method, path in (
                ("GET", "/v1/bots"),
                ("GET", "/bots"),
                ("GET", "/v1/me"),
                ("GET", "/v1/calls"),
            ):
                await stranger.refused(method, path, 401, "unauthorized")
            async with user.http.get("/v1/bots", headers=headers) as answer:
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
