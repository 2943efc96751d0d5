"""Bots whose ears are a vendor's, and the vendor's bad days: every turn of the caller is understood."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from callbot.studio.emulator import Emulator
from callbot.studio.up.running import WITHOUT_LIMITS, Platform, running_platform
from tests.conftest import MS_PER_CHARACTER, record_in, serve
from tests.vendors.customer import Customer
from tests.vendors.deepgram_stt import DeepgramNova
from tests.vendors.openai_server import LanguageModel
from tests.vendors.stt_vendor import CHATTER, KEY, Day

GREETING = "Hello! How can I help you?"
SAID = ("a table for four", "tomorrow at seven")
FELL_BACK = "provider_fell_back: deepgram"
DAYS = (
    *(day for bad in (Day.STALLS, Day.SLOW, Day.CUT, Day.MALFORMED) for day in (bad, Day.GOOD)),
    Day.BROKEN,
    Day.REFUSED,
)
"""After three failures in a row it is left alone, so a good day comes before the next bad one; the last two
cannot be connected to at all."""


@pytest.fixture(scope="module")
async def vendor() -> AsyncIterator[DeepgramNova]:
    async with DeepgramNova() as vendor:
        yield vendor


@pytest.fixture(scope="module")
async def heard_by_vendor(
    servers: AsyncExitStack, language_model: LanguageModel, vendor: DeepgramNova
) -> AsyncIterator[Platform]:
    env = {
        **WITHOUT_LIMITS,
        **vendor.environment,
        "OPENAI_BASE_URL": f"{await serve(servers, language_model.app())}/v1",
        "OPENAI_API_KEY": "unused",
        "OPENAI_MODEL": "test",
        "CALLBOT_STT": "deepgram,scripted",
        "CALLBOT_VAD": "energy",
        "CALLBOT_TTS": "scripted",
        "CALLBOT_SCRIPTED_MS_PER_CHARACTER": str(MS_PER_CHARACTER),
    }
    async with running_platform(env=env) as running:
        yield running


async def test_every_turn_is_understood_and_the_record_says_who_failed(
    heard_by_vendor: Platform,
    vendor: DeepgramNova,
    customer: Customer,
    record_property: Callable[[str, object], None],
) -> None:
    platform = heard_by_vendor
    took_ms: dict[str, list[int]] = {}
    async with (
        aiohttp.ClientSession(platform.url) as api,
        Emulator(platform.url, account=platform.twilio.accounts.platform) as emulator,
    ):
        bot = {"goal": "Test", "greeting": GREETING, "webhook": customer.webhook("echo", "broken-ears")}
        async with api.post("/v1/bots", json=bot) as answer:
            bot_id = (await answer.json())["id"]
        for day in DAYS:
            vendor.day = day
            async with emulator.dial(bot_id=bot_id) as call:
                await call.hears(GREETING, within_s=5)
                for text in SAID:
                    await call.says(text)
                    heard = await call.hears(f"I heard {text}", within_s=6)
                    took_ms.setdefault(day.value, []).append(round(heard.voice_to_voice_ms or 0))
            record = await record_in(api, call.sid)
            assert [turn["user_text"] for turn in record["turns"][1:]] == list(SAID)
            told = [one["reason"] for one in record["fallbacks"] if one["stage"] == "ears"]
            assert all(one.startswith(FELL_BACK) and one.endswith(", then scripted") for one in told)
            assert bool(told) == (day is not Day.GOOD)
    record_property("voice_to_voice_ms", took_ms)
    print(took_ms)
    log = platform.log.read_text()
    assert CHATTER not in log and KEY not in log
    assert vendor.complaints == []
