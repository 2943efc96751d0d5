"""Bots that speak with a vendor's voice, and the vendor's bad days: the caller hears every answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import aiohttp
import pytest

from callbot.studio.emulator import Emulator
from callbot.studio.emulator.caller import Caller, Said
from callbot.studio.up.running import Platform, running_platform
from tests.conftest import MS_PER_CHARACTER, record_in, serve
from tests.e2e.chains import (
    WITHOUT_BREAKERS,
    Row,
    Table,
    When,
    answered_ms,
    emulator_of,
    first_sound_ms,
    silence,
)
from tests.vendors.cartesia_tts import CartesiaTts
from tests.vendors.customer import Customer
from tests.vendors.deepgram_tts import DeepgramTts
from tests.vendors.elevenlabs_tts import ElevenLabsTts
from tests.vendors.google_tts import GoogleTts
from tests.vendors.openai_server import LanguageModel
from tests.vendors.openai_tts import OpenAITts
from tests.vendors.playht_tts import PlayHTTts
from tests.vendors.polly_tts import PollyTts
from tests.vendors.speech_tones import MS_PER_CHARACTER as MS_OF_A_TONE
from tests.vendors.tts_vendor import CHATTER, Day, TtsVendor

VENDORS = (ElevenLabsTts, CartesiaTts, DeepgramTts, GoogleTts, PollyTts, OpenAITts, PlayHTTts)
GREETING = "Yes?"
SAID = "a table for four"
FIRST, SECOND = "I heard one thing.", "Now the other one."
ANSWER_S, PIECE_S = 1.0, 2.0
"""To the first audio (`CALLBOT_TTS_SWITCH_AFTER_S`), and from each piece to the next: the defaults."""


@pytest.fixture(scope="module")
async def vendors() -> AsyncIterator[list[TtsVendor]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(vendor()) for vendor in VENDORS]


@pytest.fixture(scope="module")
async def spoken_by_vendors(
    servers: AsyncExitStack, language_model: LanguageModel, vendors: list[TtsVendor]
) -> AsyncIterator[Platform]:
    env = {
        **WITHOUT_BREAKERS,
        **{name: value for vendor in vendors for name, value in vendor.environment.items()},
        "OPENAI_BASE_URL": f"{await serve(servers, language_model.app())}/v1",
        "OPENAI_MODEL": "test",
        "CALLBOT_STT": "scripted",
        "CALLBOT_VAD": "energy",
        # A bot's own voice comes before all of them.
        "CALLBOT_TTS": ",".join(["scripted", *(vendor.name for vendor in vendors)]),
        "CALLBOT_SCRIPTED_MS_PER_CHARACTER": str(MS_PER_CHARACTER),
    }
    async with running_platform(env=env) as running:
        yield running


def deadline_s(day: Day) -> float:
    return PIECE_S if day is Day.STALLS else ANSWER_S


class Talk:
    """A call to a bot with this vendor's voice."""

    def __init__(self, call: Caller, vendor: TtsVendor) -> None:
        self._call, self._vendor = call, vendor

    async def greeted(self) -> None:
        await first_sound_ms(self._call, await self._call.makes(b""))
        await silence(self._call)

    async def row(self, day: Day, when: When) -> Row:
        self._vendor.day = Day.GOOD if when is When.BOT_SPEAKS else day
        if when is When.BOT_SPEAKS:
            took_ms = await self._breaks_between_sentences(day)
        else:
            said = await self._call.says(SAID)
            took_ms = await answered_ms(self._call, f"I heard {SAID}", said.last_word_ms)
        await silence(self._call)
        return Row(self._vendor.name, day.value, when, deadline_s(day), took_ms)

    async def _breaks_between_sentences(self, day: Day) -> float:
        said = await self._with_its_own_voice()
        self._vendor.day = day
        first_ms = await first_sound_ms(self._call, said)
        return await answered_ms(self._call, SECOND, first_ms + len(FIRST) * MS_OF_A_TONE)

    async def _with_its_own_voice(self) -> Said:
        """What began on the bad day before may be on trial still: then nobody else is let in."""
        for _ in range(8):
            asked = len(self._vendor.asked)
            said = await self._call.says(f"{FIRST.removeprefix('I heard ')} {SECOND}")
            try:
                await self._vendor.until(partial(self._is_asked, asked), 2.0)
            except TimeoutError:
                await self._call.hears(SECOND)
                await silence(self._call)
            else:
                return said
        raise AssertionError(f"{self._vendor.name} was not asked again")

    def _is_asked(self, before: int) -> bool:
        return FIRST in self._vendor.asked[before:]


async def on_bad_days(
    api: aiohttp.ClientSession, emulator: Emulator, customer: Customer, vendor: TtsVendor, table: Table
) -> None:
    """What begins with a bad day is a call of its own."""
    bot = {
        "goal": "Test",
        "voice": f"{vendor.name}:{vendor.voice}",
        "greeting": GREETING,
        "suggest": "off",
        "webhook": customer.webhook("echo", f"voice-{vendor.name}"),
    }
    async with api.post("/v1/bots", json=bot) as answer:
        assert answer.status == 200, await answer.text()
        bot_id = (await answer.json())["id"]

    async def call(*rows: tuple[Day, When]) -> None:
        async with emulator.dial(bot_id=bot_id) as dialed:
            talk = Talk(dialed, vendor)
            await talk.greeted()
            table.rows += [await talk.row(day, when) for day, when in rows]
        told = [one["reason"] for one in (await record_in(api, dialed.sid))["fallbacks"]]
        failures = [one for one in told if one.startswith(f"provider_fell_back: {vendor.name} ")]
        assert len(failures) >= len(rows), told
        assert all(one.endswith(", then scripted") for one in failures)

    days = [day for day in Day if day in vendor.days and day is not Day.GOOD]
    at = [kind.name for kind in VENDORS].index(vendor.name)
    rows = table.chosen(at, days, begun_on=days[at])
    for vendor.day, when in (row for row in rows if row[1] is When.AT_ONCE):
        await call((vendor.day, when))
    vendor.day = Day.GOOD
    await call(*(row for row in rows if row[1] is not When.AT_ONCE))


@pytest.mark.timeout(600)
async def test_the_caller_hears_every_answer(
    spoken_by_vendors: Platform, vendors: list[TtsVendor], customer: Customer, table: Table
) -> None:
    """All vendors at once, each with a bad day after the other in one call."""
    platform = spoken_by_vendors
    async with (
        aiohttp.ClientSession(platform.url) as api,
        emulator_of(platform) as emulator,
        asyncio.TaskGroup() as calls,
    ):
        for vendor in vendors:
            calls.create_task(on_bad_days(api, emulator, customer, vendor, table))
    log = platform.log.read_text()
    assert CHATTER not in log
    assert not any(secret in log for vendor in vendors for secret in vendor.secrets)
    table.close()
