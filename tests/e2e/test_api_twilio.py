"""Only Twilio may ring: signatures, calls that are signed, tokens that are spent or late."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp

from callbot.call_router.tokens import CallTokens
from callbot.runtime.keyring import KeyRing
from callbot.studio.emulator import UNSIGNED
from callbot.studio.emulator.signature import HEADER, request_signature
from callbot.studio.up import Platform
from tests.e2e.test_bad_streams import MEDIA, close_code, start
from tests.e2e.user import Ring, User, action_of, ringing, signed_up, stream_of


async def a_ring(platform: Platform, user: User, **changed: str) -> Ring:
    bot = await user.bot()
    return Ring(await ringing(platform, bot["number"]), **changed)


async def test_a_voice_request_needs_the_signature_of_its_account(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        ring = await a_ring(strict_platform, user)
        other = strict_platform.twilio.accounts.customer
        assert await ring.answered(user.http, signed_by=UNSIGNED) == (403, "")
        assert await ring.answered(user.http, signed_by=other) == (403, "")
        assert await ring.answered(user.http, signed_by=replace(ring.account, auth_token="wrong")) == (
            403,
            "",
        )
        signature = request_signature(ring.account.auth_token or "", ring.url, ring.form)
        tampered = {**ring.form, "From": "+14155559999"}
        async with user.http.post(ring.url, data=tampered, headers={HEADER: signature}) as answer:
            assert (answer.status, await answer.text()) == (403, "")
        more = ring.url + ("&" if "?" in ring.url else "?") + "x=1"
        async with user.http.post(more, data=ring.form, headers={HEADER: signature}) as answer:
            assert answer.status == 403
        evil = ring.url.replace("127.0.0.1", "evil.example")
        forged = request_signature(ring.account.auth_token or "", evil, ring.form)
        headers = {HEADER: forged, "Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        async with user.http.post(ring.url, data=ring.form, headers=headers) as answer:
            assert answer.status == 403
        status, document = await ring.answered(user.http)
        assert status == 200 and "<Connect" in document


async def test_a_number_of_another_account_cannot_be_claimed(strict_platform: Platform) -> None:
    """The customer's own account signs a request for a bot of the platform's."""
    async with signed_up(strict_platform) as user:
        ring = await a_ring(strict_platform, user)
        customer = strict_platform.twilio.accounts.customer
        ring.form["AccountSid"] = customer.sid
        assert await ring.answered(user.http, signed_by=customer) == (403, "")


async def test_next_status_and_fallback_need_it_too(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        ring = await a_ring(strict_platform, user)
        _, document = await ring.answered(user.http)
        action = action_of(document).url
        ring.form["CallStatus"] = "in-progress"
        base = strict_platform.url
        urls = (action, f"{base}/v1/voice/status", f"{base}/v1/voice/fallback", f"{base}/voice/next?call=x")
        for url in urls:
            if "fallback" in url:
                ring.form |= {"ErrorUrl": action, "ErrorCode": "11200"}
            assert (await ring.answered(user.http, url, UNSIGNED))[0] in (400, 403), url
            assert (await ring.answered(user.http, url, replace(ring.account, auth_token="wrong")))[0] in (
                400,
                403,
            )
        # Properly signed, but the call is another one.
        forged = action.replace(ring.form["CallSid"], "CA" + "0" * 32)
        assert (await ring.answered(user.http, forged))[0] == 403
        assert (await ring.answered(user.http, action))[0] == 200


async def test_a_status_callback_ends_the_record(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        ring = await a_ring(strict_platform, user)
        await ring.answered(user.http)
        ring.form |= {"CallStatus": "completed", "CallDuration": "3"}
        assert (await ring.answered(user.http, f"{strict_platform.url}/v1/voice/status"))[0] == 204
        for _ in range(50):
            if (await user.ask("GET", f"/v1/calls/{ring.form['CallSid']}"))["ended_at"]:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the record has no end")


async def test_a_token_is_spent_once_media_has_flowed(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        ring = await a_ring(strict_platform, user)
        url, token = stream_of((await ring.answered(user.http))[1])
        hello = start(ring.form["CallSid"], token)
        async with user.http.ws_connect(url) as first:
            await first.send_json(hello)
            for _ in range(10):
                await first.send_json(MEDIA)
            await first.receive_str(timeout=5)
            await asyncio.sleep(0.5)
            async with user.http.ws_connect(url) as second:
                await second.send_json(hello)
                assert await close_code(second) == 1008
            await first.send_json(MEDIA)
            assert "media" in await first.receive_str(timeout=5)


async def test_a_late_token_and_one_of_another_call_begin_nothing(strict_platform: Platform) -> None:
    async with signed_up(strict_platform) as user:
        ring = await a_ring(strict_platform, user)
        url, token = stream_of((await ring.answered(user.http))[1])
        ring_of_tokens = KeyRing.parse((strict_platform.data / "token-keys").read_text().strip())
        bot_id, call_id = url.rpartition("/")[2], ring.form["CallSid"]
        late = CallTokens(ring_of_tokens).token(call_id, bot_id, datetime.now(UTC) - timedelta(seconds=61))
        shown: list[tuple[str, str]] = [(call_id, late), ("CA" + "1" * 32, token), (call_id, token + "x")]
        for called, one in shown:
            async with user.http.ws_connect(url) as socket:
                await socket.send_json(start(called, one))
                assert await close_code(socket) == 1008
        async with user.http.ws_connect(url) as socket:
            await socket.send_json(start(call_id, token))
            await socket.send_json(MEDIA)
            message = await socket.receive(timeout=5)
            assert message.type is aiohttp.WSMsgType.TEXT
