"""Bots that speak with a vendor's voice, and the vendor's bad days: the caller hears every answer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from callbot.studio.emulator import Emulator
from callbot.studio.up.running import WITHOUT_LIMITS, Platform, running_platform
from tests.conftest import MS_PER_CHARACTER, record_in, serve
from tests.vendors.customer import Customer
from tests.vendors.elevenlabs_tts import ElevenLabsTts
from tests.vendors.openai_server import LanguageModel
from tests.vendors.tts_vendor import CHATTER, Day

GREETING = "Hello! How can I help you?"
REASONS = {Day.SLOW: "too_slow", Day.CUT: "broken_off", Day.STALLS: "too_slow", Day.REFUSED: "refused"}
"""The last one opens the breaker for long."""
FELL_BACK = "provider_fell_back: elevenlabs"


@pytest.fixture(scope="module")
async def vendor() -> AsyncIterator[ElevenLabsTts]:
    async with ElevenLabsTts() as vendor:
        yield vendor


@pytest.fixture(scope="module")
async def spoken_by_vendor(
    servers: AsyncExitStack, language_model: LanguageModel, vendor: ElevenLabsTts
) -> AsyncIterator[Platform]:
    env = {
        **WITHOUT_LIMITS,
        **vendor.environment,
        "OPENAI_BASE_URL": f"{await serve(servers, language_model.app())}/v1",
        "OPENAI_API_KEY": "unused",
        "OPENAI_MODEL": "test",
        "CALLBOT_STT": "scripted",
        "CALLBOT_VAD": "energy",
        "CALLBOT_TTS": "elevenlabs,scripted",
        "CALLBOT_SCRIPTED_MS_PER_CHARACTER": str(MS_PER_CHARACTER),
    }
    async with running_platform(env=env) as running:
        yield running


async def test_the_caller_hears_every_answer_and_the_record_says_who_failed(
    spoken_by_vendor: Platform, vendor: ElevenLabsTts, customer: Customer
) -> None:
    platform = spoken_by_vendor
    took_ms = {}
    async with (
        aiohttp.ClientSession(platform.url) as api,
        Emulator(platform.url, account=platform.twilio.accounts.platform) as emulator,
    ):
        bot = {
            "goal": "Test",
            "voice": "elevenlabs:alice",
            "greeting": GREETING,
            "webhook": customer.webhook("echo", "broken-voices"),
        }
        vendor.day = Day.BROKEN
        async with api.post("/v1/bots", json=bot) as answer:
            bot_id = (await answer.json())["id"]
        for day, reason in REASONS.items():
            vendor.day = day
            async with emulator.dial(bot_id=bot_id) as call:
                await call.hears(GREETING, within_s=5)
                await call.says("a table for four")
                heard = await call.hears("I heard a table for four", within_s=6)
                took_ms[day.value] = round(heard.voice_to_voice_ms or 0)
            fallbacks = (await record_in(api, call.sid))["fallbacks"]
            told = {one["reason"] for one in fallbacks if one["stage"] == "mouth"}
            assert told & {f"{FELL_BACK} {why}, then scripted" for why in (reason, "left_alone")}, fallbacks
    print(took_ms)
    log = platform.log.read_text()
    assert CHATTER not in log and not any(secret in log for secret in vendor.secrets)
