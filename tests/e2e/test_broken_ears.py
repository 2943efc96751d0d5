"""Bots whose ears are a vendor's, and the vendor's bad days: every turn of the caller is understood."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import aiohttp
import pytest

from callbot.schemas.text_audio import audible
from callbot.studio.emulator import Emulator
from callbot.studio.emulator.caller import Caller
from callbot.studio.up.running import running_platform
from tests.conftest import record_in, serve
from tests.e2e.chains import (
    MS_PER_CHARACTER,
    PATIENCE_S,
    WITHOUT_BREAKERS,
    Row,
    Table,
    When,
    answered_ms,
    emulator_of,
    silence,
)
from tests.e2e.more_workers import Worker, another, ears_of, worker_id_of
from tests.vendors.customer import Customer
from tests.vendors.deepgram_stt import DeepgramFlux, DeepgramNova
from tests.vendors.google_stt import GoogleSpeech
from tests.vendors.openai_server import LanguageModel
from tests.vendors.openai_transcription import OpenAITranscription
from tests.vendors.stt_vendor import CHATTER, KEY, Day, SttVendor

GREETING = "Hello! How can I help you?"
BEGINS, ENDS = "a table", "for four"
SAID = f"{BEGINS} {ENDS}"
WORDS_S = 0.8
"""`CALLBOT_STT_DEADLINE_S`, as it is unless told otherwise."""
BAD = tuple(day for day in Day if day is not Day.GOOD)
SHOWN_WITHIN_S = 5.0
TAKEN_WITHIN_S = 12.0
TRIES = 4


@dataclass(frozen=True)
class Ear:
    """A worker that asks this vendor first."""

    name: str
    provider: str
    vendor: SttVendor
    streams: bool
    worker: Worker

    def days(self, days: Sequence[Day]) -> list[Day]:
        """Who is asked once for each turn has no final result to repeat."""
        return [day for day in days if self.streams or day is not Day.TWICE]


@pytest.fixture(scope="module")
async def ears(servers: AsyncExitStack, language_model: LanguageModel) -> AsyncIterator[list[Ear]]:
    """One platform; its own stt-worker has Nova, three more have the others, and room for one call each."""
    async with AsyncExitStack() as stack:
        nova = await stack.enter_async_context(DeepgramNova(ms_per_character=MS_PER_CHARACTER))
        flux = await stack.enter_async_context(DeepgramFlux(ms_per_character=MS_PER_CHARACTER))
        google = await stack.enter_async_context(GoogleSpeech())
        google.ms_per_character = MS_PER_CHARACTER
        openai = await stack.enter_async_context(OpenAITranscription())
        env = {
            **WITHOUT_BREAKERS,
            **nova.environment,
            "OPENAI_BASE_URL": f"{await serve(servers, language_model.app())}/v1",
            "OPENAI_API_KEY": "unused",
            "OPENAI_MODEL": "test",
            "CALLBOT_STT": "deepgram,scripted",
            "CALLBOT_VAD": "energy",
            "CALLBOT_TTS": "scripted",
            "CALLBOT_SCRIPTED_MS_PER_CHARACTER": "25",
        }
        platform = await stack.enter_async_context(running_platform(env=env))
        own = next(row for row in await platform.ps() if row["service"] == "stt-worker")
        found = [
            Ear(
                "deepgram nova",
                "deepgram",
                nova,
                True,
                Worker(platform, own["pid"], worker_id_of(own["pid"])),
            )
        ]
        others: Sequence[tuple[str, str, SttVendor, bool]] = [
            ("deepgram flux", "deepgram", flux, True),
            ("google v2", "google", google, True),
            ("openai transcription", "openai", openai, False),
        ]
        for name, provider, vendor, streams in others:
            told = {**vendor.environment, "CALLBOT_STT": f"{provider},scripted", "CALLBOT_ROOM": "1"}
            worker = await stack.enter_async_context(another(platform, "stt-worker", told))
            found.append(Ear(name, provider, vendor, streams, worker))
        yield found


@asynccontextmanager
async def heard_by(
    ears: Sequence[Ear], emulator: Emulator, bot_id: str
) -> AsyncIterator[Mapping[str, Caller]]:
    """A call at each worker. Who waits for too long is taken for gone by the platform: then all call anew."""
    for _ in range(TRIES):
        async with AsyncExitStack() as stack:
            calls = await taken(stack, ears, emulator, bot_id)
            if len(calls) < len(ears):
                continue
            for call in calls.values():
                await call.hears(GREETING, within_s=PATIENCE_S)
                await silence(call)
            yield calls
            return
    raise AssertionError(f"no call has come to some of {[ear.name for ear in ears]}")


async def taken(
    stack: AsyncExitStack, ears: Sequence[Ear], emulator: Emulator, bot_id: str
) -> dict[str, Caller]:
    """Who of them takes a call is chance: it is dialed until all have one, or it is too late."""
    calls: dict[str, Caller] = {}
    until_s = time.monotonic() + TAKEN_WITHIN_S
    while len(calls) < len(ears) and time.monotonic() < until_s:
        missing = 2 * (len(ears) - len(calls))
        dialing = (stack.enter_async_context(emulator.dial(bot_id=bot_id)) for _ in range(missing))
        for call in await asyncio.gather(*dialing):
            holder = await ears_of(ears[0].worker.platform, call.sid)
            name = next((ear.name for ear in ears if ear.worker.id == holder), "")
            if not name or calls.setdefault(name, call) is not call:
                call.hangs_up()
    return calls


async def is_open(ear: Ear) -> None:
    """It listens along, so that it can break off."""
    until_s = time.monotonic() + SHOWN_WITHIN_S
    while ear.streams and not ear.vendor.open_connections:
        assert time.monotonic() < until_s, f"{ear.name} is not asked any more"
        await asyncio.sleep(0.01)


async def answered(call: Caller, ear: Ear, day: Day, when: When) -> Row:
    if when is When.CALLER_SPEAKS:
        await call.says(audible(BEGINS, MS_PER_CHARACTER))
        ear.vendor.turns(day)
        said = await call.says(audible(ENDS, MS_PER_CHARACTER))
    else:
        said = await call.says(SAID)
    took_ms = await answered_ms(call, f"I heard {SAID}", said.last_word_ms)
    return Row(ear.name, day.value, when, WORDS_S, took_ms)


async def on_bad_days(call: Caller, ear: Ear, rows: Sequence[tuple[Day, When]]) -> list[Row]:
    """Between two of them it works again. The bot still speaks when it breaks before the next turn."""
    measured = []
    for (day, when), following in pairwise([(Day.GOOD, When.BOT_SPEAKS), *rows, (Day.GOOD, When.AT_ONCE)]):
        measured.append(await answered(call, ear, day, when))
        ear.vendor.turns(Day.GOOD)
        await is_open(ear)
        if following[1] is When.BOT_SPEAKS:
            ear.vendor.turns(following[0])
        await silence(call)
    call.hangs_up()
    return measured[1:]


async def check_record(api: aiohttp.ClientSession, call: Caller, ear: Ear, rows: int) -> None:
    record = await record_in(api, call.sid)
    assert [turn["user_text"] for turn in record["turns"][1:]] == [SAID] * rows
    told = [one["reason"] for one in record["fallbacks"] if one["stage"] == "ears"]
    assert told
    assert all(
        one.startswith(f"provider_fell_back: {ear.provider}") and one.endswith("scripted") for one in told
    )


class Stage:
    def __init__(self, api: aiohttp.ClientSession, emulator: Emulator, bot_id: str, table: Table) -> None:
        self._api, self._emulator, self._bot_id, self._table = api, emulator, bot_id, table

    async def play(self, ears: Sequence[Ear], days: Sequence[Day]) -> None:
        """All at once, each with a bad day after the other in one call. What begins with one is a call of
        its own."""
        rows = {
            ear.name: self._table.chosen(at, ear.days(days), begun_on=days[0]) for at, ear in enumerate(ears)
        }
        for day in days:
            if begun_so := [ear for ear in ears if (day, When.AT_ONCE) in rows[ear.name]]:
                await self._begins(begun_so, day)
        async with heard_by(ears, self._emulator, self._bot_id) as calls:
            await asyncio.gather(*(self._go_through(calls[ear.name], ear, rows[ear.name]) for ear in ears))

    async def _begins(self, ears: Sequence[Ear], day: Day) -> None:
        for ear in ears:
            ear.vendor.turns(day)
        async with heard_by(ears, self._emulator, self._bot_id) as calls:
            self._table.rows += await asyncio.gather(
                *(answered(calls[ear.name], ear, day, When.AT_ONCE) for ear in ears)
            )
        for ear in ears:
            ear.vendor.turns(Day.GOOD)

    async def _go_through(self, call: Caller, ear: Ear, rows: Sequence[tuple[Day, When]]) -> None:
        later = [row for row in rows if row[1] is not When.AT_ONCE]
        self._table.rows += await on_bad_days(call, ear, later)
        await check_record(self._api, call, ear, len(later) + 1)


@pytest.mark.timeout(600)
async def test_every_turn_is_understood(ears: list[Ear], customer: Customer, table: Table) -> None:
    platform = ears[0].worker.platform
    bot = {
        "goal": "Test",
        "greeting": GREETING,
        "suggest": "off",
        "webhook": customer.webhook("echo", "broken-ears"),
    }
    async with aiohttp.ClientSession(platform.url) as api, emulator_of(platform) as emulator:
        async with api.post("/v1/bots", json=bot) as answer:
            bot_id = (await answer.json())["id"]
        stage = Stage(api, emulator, bot_id, table)
        nova, flux, *others = ears
        # They share a breaker: both are Deepgram.
        await stage.play([nova, *others], BAD)
        await stage.play([flux], BAD if table.is_whole else (Day.CUT, Day.BROKEN, Day.STALLS, Day.TWICE))
    told = platform.log.read_text() + "".join(ear.worker.said() for ear in ears)
    assert CHATTER not in told and KEY not in told
    assert [complaint for ear in ears for complaint in ear.vendor.complaints] == []
    table.close()
