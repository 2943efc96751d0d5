"""Whose Twilio account may ask for which bot, number and call, where signatures are required."""

import secrets

import pytest
from pydantic import SecretStr

from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.schemas.calls import CallRoute, CheckCall, RouteCall, RouteVerdict, TwilioRequest

from .conftest import settings_with
from .customers import BEGAN, PLATFORM_SID, PLATFORM_TOKEN, PUBLIC, Customer
from .test_routing import new_call_id, refusal
from .test_signatures import sign


@pytest.fixture
def required(settings: Settings) -> Settings:
    return settings_with(
        settings,
        auth="required",
        public_url=PUBLIC,
        twilio_account_sid=PLATFORM_SID,
        twilio_auth_token=SecretStr(PLATFORM_TOKEN),
    )


@pytest.fixture
async def alice(stores: Stores, required: Settings) -> Customer:
    return await Customer(stores, required).signs_up()


@pytest.fixture
async def bob(stores: Stores, required: Settings) -> Customer:
    return await Customer(stores, required).signs_up()


async def test_only_the_bots_own_account_may_ask(alice: Customer, bob: Customer) -> None:
    bot = await alice.makes_bot()
    assert (await alice.calls(bot)).verdict is RouteVerdict.CONNECT
    assert await refusal(alice.calls(bot, signed=False)) == "bad_signature"
    assert await refusal(alice.calls(bot, token="another")) == "bad_signature"
    assert await refusal(bob.calls(bot)) == "bad_signature"
    assert await refusal(bob.calls(bot, AccountSid=alice.sid)) == "bad_signature"
    assert await refusal(bob.calls(bot, to=alice.number, AccountSid=alice.sid)) == "bad_signature"


async def test_an_unknown_bot_is_told_without_a_signature(alice: Customer) -> None:
    assert await refusal(alice.calls("bot_nowhere", signed=False)) == "bot_not_found"
    assert await refusal(alice.calls(to="+19995550100", signed=False)) == "invalid_bot"


async def test_a_bot_whose_owner_has_no_account_takes_no_call(stores: Stores, required: Settings) -> None:
    carol = await Customer(stores, required).signs_up(connected=False)
    bot = await carol.makes_bot()
    assert await refusal(carol.calls(bot)) == "bad_signature"
    assert await refusal(carol.calls(bot, signed=False)) == "bad_signature"


async def test_a_call_that_names_no_bot_goes_to_the_numbers_default_one(alice: Customer) -> None:
    assert await refusal(alice.calls()) == "invalid_bot"
    first, second = await alice.makes_bot(), await alice.makes_bot()
    assert (await alice.calls()).bot_id == first
    await alice.stores.users.set_default_bot(alice.user_id, second)
    assert (await alice.calls()).bot_id == second
    await alice.stores.bots.remove(alice.user_id, second)
    assert (await alice.calls()).bot_id == first


async def test_a_number_is_called_by_its_own_account_only(alice: Customer, bob: Customer) -> None:
    await alice.makes_bot()
    await bob.makes_bot()
    assert await refusal(bob.calls(to=alice.number)) == "bad_signature"
    assert await refusal(alice.calls(signed=False)) == "bad_signature"
    assert (await alice.calls()).verdict is RouteVerdict.CONNECT


async def test_a_repeated_call_keeps_its_bot_whatever_the_default_is_now(alice: Customer) -> None:
    first, second = await alice.makes_bot(), await alice.makes_bot()
    call_id = new_call_id()
    answer = await alice.calls(call_id=call_id)
    await alice.stores.users.set_default_bot(alice.user_id, second)
    assert await alice.calls(call_id=call_id) == answer
    assert await alice.calls(first, call_id) == answer
    assert await refusal(alice.calls(second, call_id)) == "conflict"


async def test_a_bought_number_is_its_bots_and_the_platforms_account_asks(alice: Customer) -> None:
    bought = f"+1{secrets.randbelow(9 * 10**9) + 10**9}"
    await alice.makes_bot()
    bot = await alice.makes_bot(bought=bought)
    platform = {"token": PLATFORM_TOKEN, "AccountSid": PLATFORM_SID}
    assert (await alice.calls(to=bought, **platform)).bot_id == bot
    assert (await alice.calls(bot, to=bought, **platform)).bot_id == bot
    assert await refusal(alice.calls(to=bought)) == "bad_signature"
    # The owner may send calls of a number of their own there, too.
    assert (await alice.calls(bot)).bot_id == bot


async def test_a_call_without_an_id_is_refused(alice: Customer) -> None:
    bot = await alice.makes_bot()
    asked = TwilioRequest(target="/v1/voice", signature=sign(f"{PUBLIC}/v1/voice", [], alice.token))
    question = RouteCall(request=asked, bot_id=bot, call_id=None)
    assert await refusal(alice.routing.route(question)) == "invalid_request"


async def test_what_is_asked_about_a_call_is_checked(alice: Customer, bob: Customer) -> None:
    routed = await alice.calls(await alice.makes_bot())
    other = await alice.calls(routed.bot_id)
    bobs = await bob.calls(await bob.makes_bot())
    assert await alice.asks_about(routed) == routed.call_id
    assert await alice.asks_about(routed, signed_call="") == routed.call_id
    for wrong in (
        alice.asks_about(routed, signed=False),
        alice.asks_about(routed, token="another"),
        alice.asks_about(routed, AccountSid=bob.sid),
        alice.asks_about(routed, other.call_id),
        alice.asks_about(routed, signed_call=other.signed_call),
        alice.asks_about(routed, signed_call=routed.call_id),
        alice.asks_about(routed, signed_call=routed.signed_call[:-1]),
        alice.asks_about(bobs),
        bob.asks_about(routed),
        bob.asks_about(routed, AccountSid=alice.sid),
    ):
        assert await refusal(wrong) == "bad_signature"


async def test_a_get_is_checked_by_its_url(alice: Customer, bob: Customer) -> None:
    routed = await alice.calls(await alice.makes_bot())
    target = f"/voice/next?call={routed.signed_call}&CallSid={routed.call_id}&AccountSid="
    for sid, taken in ((alice.sid, True), (bob.sid, False)):
        signature = sign(PUBLIC + target + sid, [], alice.token)
        asked = TwilioRequest(target=target + sid, signature=signature)
        question = CheckCall(request=asked, signed_call=routed.signed_call, call_id=None)
        if taken:
            assert (await alice.routing.check(question)).call_id == routed.call_id
        else:
            assert await refusal(alice.routing.check(question)) == "bad_signature"


async def test_an_unknown_call_is_told_to_a_known_account_only(alice: Customer, bob: Customer) -> None:
    await alice.makes_bot()
    unknown = CallRoute(
        verdict=RouteVerdict.CONNECT,
        bot_id="bot_1",
        call_id=new_call_id(),
        token="",
        signed_call="",
    )
    assert await refusal(alice.asks_about(unknown, To=alice.number)) == "call_not_found"
    assert await refusal(alice.asks_about(unknown, To=bob.number)) == "bad_signature"
    assert await refusal(alice.asks_about(unknown, To="+19995550100")) == "bad_signature"
    assert await refusal(alice.asks_about(unknown)) == "bad_signature"


async def test_a_call_outlives_its_bot(alice: Customer) -> None:
    bought = f"+1{secrets.randbelow(9 * 10**9) + 10**9}"
    platform = {"token": PLATFORM_TOKEN, "AccountSid": PLATFORM_SID}
    own = await alice.calls(await alice.makes_bot())
    rented = await alice.calls(await alice.makes_bot(bought=bought), to=bought, **platform)
    for routed in (own, rented):
        await alice.stores.bots.remove(alice.user_id, routed.bot_id)
    await alice.stores.purchases.begin_release(rented.bot_id, BEGAN)
    assert await alice.asks_about(own) == own.call_id
    assert await alice.asks_about(rented, **platform) == rented.call_id
    assert await refusal(alice.asks_about(rented)) == "bad_signature"
    assert await refusal(alice.asks_about(own, token=PLATFORM_TOKEN)) == "bad_signature"


@pytest.mark.parametrize(
    ("status", "closed"), [("in-progress", False), ("completed", True), ("failed", True)]
)
async def test_the_end_of_a_call_without_a_stream_is_taken_from_twilio(
    alice: Customer, status: str, closed: bool
) -> None:
    routed = await alice.calls(await alice.makes_bot())
    await alice.asks_about(routed, signed_call="", CallStatus=status)
    record = await alice.stores.calls.get(routed.call_id)
    assert record is not None
    assert (record.ended_at is not None, record.end_reason) == (closed, "line_lost" if closed else None)


async def test_the_end_of_a_streamed_call_is_told_by_its_gateway(alice: Customer) -> None:
    routed = await alice.calls(await alice.makes_bot())
    assert await alice.stores.calls.begin_stream(routed.call_id, "a token's id", 9) == 1
    await alice.asks_about(routed, signed_call="", CallStatus="completed")
    record = await alice.stores.calls.get(routed.call_id)
    assert record is not None and record.ended_at is None
