"""What a platform serves to Prometheus while calls go on: the numbers are those of the calls."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from callbot.gateway.silence import LONGEST_MS
from callbot.studio.emulator import Emulator
from callbot.studio.up.running import WITHOUT_LIMITS, Platform, running_platform
from tests.conftest import MS_PER_CHARACTER, serve
from tests.exposition import Family, parsed
from tests.k8s.queries import metrics_named
from tests.vendors.customer import Customer
from tests.vendors.elevenlabs_tts import ElevenLabsTts
from tests.vendors.openai_server import LanguageModel
from tests.vendors.tts_vendor import Day

GREETING = "Hello! How can I help you?"
PROMETHEUS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
WORKERS = {"stt-worker": "ears", "dialog-worker": "mind", "tts-worker": "mouth"}
SERVICES = ("gateway", "call-router", *WORKERS)
Page = dict[str, Family]
MakeBot = Callable[..., Awaitable[str]]


@pytest.fixture(scope="module")
async def vendor() -> AsyncIterator[ElevenLabsTts]:
    async with ElevenLabsTts() as vendor:
        yield vendor


@pytest.fixture(scope="module")
async def measured(
    servers: AsyncExitStack, language_model: LanguageModel, vendor: ElevenLabsTts
) -> AsyncIterator[Platform]:
    """One of each service."""
    env = {
        **WITHOUT_LIMITS,
        **vendor.environment,
        "OPENAI_BASE_URL": f"{await serve(servers, language_model.app())}/v1",
        "OPENAI_API_KEY": "unused",
        "OPENAI_MODEL": "test",
        "CALLBOT_LLM_WARM": "0",
        "CALLBOT_STT": "scripted",
        "CALLBOT_VAD": "energy",
        "CALLBOT_TTS": "scripted,elevenlabs",
        "CALLBOT_MAX_CALLS": "17",
        "CALLBOT_ROOM": "19",
        "CALLBOT_SCRIPTED_MS_PER_CHARACTER": str(MS_PER_CHARACTER),
    }
    async with running_platform(env=env) as running:
        yield running


@pytest.fixture
async def emulator(measured: Platform) -> AsyncIterator[Emulator]:
    async with Emulator(measured.url, account=measured.twilio.accounts.platform) as emulator:
        yield emulator


@pytest.fixture
def make_bot(measured: Platform, customer: Customer, name: str) -> MakeBot:
    async def make(day: str, **fields: str) -> str:
        bot = {"goal": "Test", "greeting": GREETING, "webhook": customer.webhook(day, name), **fields}
        async with aiohttp.ClientSession(measured.url) as api, api.post("/v1/bots", json=bot) as answer:
            return str((await answer.json())["id"])

    return make


async def pages(
    platform: Platform, *, of: tuple[str, ...] = SERVICES, accept: str = PROMETHEUS
) -> dict[str, Page]:
    """What each service serves now; read strictly."""
    found = {}
    async with aiohttp.ClientSession(headers={"Accept": accept}) as http:
        for row in await platform.ps():
            if row["service"] not in of:
                continue
            async with http.get(f"http://127.0.0.1:{row['port']}/metrics") as answer:
                assert answer.status == 200
                open_metrics = answer.content_type == "application/openmetrics-text"
                assert open_metrics == (accept == PROMETHEUS)
                found[row["service"]] = parsed(await answer.text(), open_metrics=open_metrics)
    return found


async def until(
    platform: Platform, holds: Callable[[dict[str, Page]], bool], *, of: tuple[str, ...] = SERVICES
) -> dict[str, Page]:
    """The pages, once this holds of them."""
    found: dict[str, Page] = {}
    try:
        async with asyncio.timeout(5):
            while not holds(found := await pages(platform, of=of)):
                await asyncio.sleep(0.05)
    except TimeoutError:
        told = {s: {n: f.samples for n, f in page.items() if "process" not in n} for s, page in found.items()}
        raise AssertionError(told) from None
    return found


def seats(found: dict[str, Page]) -> list[float]:
    return [found[service]["callbot_seats_held"].value(role=role) for service, role in WORKERS.items()]


def live(found: dict[str, Page]) -> float:
    return found["gateway"]["callbot_live_calls"].value()


def risen(
    name: str, before: dict[str, Page], after: dict[str, Page], ending: str = "", **labels: str
) -> float:
    """At the gateway."""
    return after["gateway"][name].value(ending, **labels) - before["gateway"][name].value(ending, **labels)


async def test_a_call_and_its_turns_are_counted(
    measured: Platform, emulator: Emulator, make_bot: MakeBot
) -> None:
    bot = await make_bot("echo")
    before = await until(measured, lambda found: live(found) == 0 and seats(found) == [0, 0, 0])
    assert before["gateway"]["callbot_calls_room"].value() == 17
    assert [before[s]["callbot_seats_room"].value(role=role) for s, role in WORKERS.items()] == [19, 19, 19]
    async with emulator.dial(bot_id=bot) as call:
        assert (await call.reply()).texts == (GREETING,)
        during = await until(measured, lambda found: (live(found), seats(found)) == (1, [1, 1, 1]))
        assert risen("callbot_calls_began_total", before, during) == 1
        heard_ms = []
        for words in ("a table for four", "tomorrow at seven"):
            await call.says(words)
            reply = await call.reply()
            assert reply.texts == (f"I heard {words}",)
            heard_ms.append(reply.voice_to_voice_ms or 0)
        call.hangs_up()
    after = await until(measured, lambda found: live(found) == 0 and seats(found) == [0, 0, 0])
    assert risen("callbot_turns_total", before, after, input="speech", answer="webhook") == 2
    assert risen("callbot_turns_total", before, after, input="greeting", answer="greeting") == 1
    assert risen("callbot_voice_to_voice_seconds", before, after, "_count") == 2
    total_s = risen("callbot_voice_to_voice_seconds", before, after, "_sum")
    assert 0 < total_s <= sum(heard_ms) / 1000 + 0.1, "the caller hears it later than the gateway sends it"
    for stage in ("endpointing", "stt", "webhook", "answer"):
        assert after["gateway"]["callbot_stage_seconds"].value("_count", stage=stage) >= 2, stage
    assert risen("callbot_calls_ended_total", before, after, reason="caller_hung_up") == 1
    assert risen("callbot_calls_ended_total", before, after) == 1
    assert risen("callbot_barge_ins_total", before, after) == 0
    assert risen("callbot_silences_total", before, after) == 0
    assert risen("callbot_caller_frames_total", before, after) > 50
    assert after["stt-worker"]["callbot_provider_attempts_total"].value(outcome="answered") >= 2
    assert after["dialog-worker"]["callbot_used_tokens_in_total"].value(provider="openai") > 0


async def test_a_barge_in_is_counted(measured: Platform, emulator: Emulator, make_bot: MakeBot) -> None:
    bot = await make_bot("long")
    before = await pages(measured)
    async with emulator.dial(bot_id=bot) as call:
        await call.reply()
        await call.says("Tell me everything")
        await call.hears("This is sentence 2")
        await call.says("Stop")
        assert await call.was_cleared()
        await call.hears("This is sentence 1")
    after = await until(measured, lambda found: live(found) == 0)
    assert risen("callbot_barge_ins_total", before, after) == 1


async def test_a_wait_in_silence_is_counted(
    measured: Platform, emulator: Emulator, make_bot: MakeBot, customer: Customer, name: str
) -> None:
    """What fails is filled with a sentence; only a gateway that stands still says nothing at all."""
    bot = await make_bot("slow")
    before = await pages(measured)
    gateway = next(row["pid"] for row in await measured.ps() if row["service"] == "gateway")
    async with emulator.dial(bot_id=bot) as call:
        await call.reply()
        await call.says("a table for four")
        async with asyncio.timeout(5):
            while not customer.deliveries[name]:
                await asyncio.sleep(0.01)
        os.kill(gateway, signal.SIGSTOP)
        try:
            await asyncio.sleep(LONGEST_MS / 1000 + 0.5)
        finally:
            os.kill(gateway, signal.SIGCONT)
        await call.hears("I suggest")
    after = await until(measured, lambda found: live(found) == 0)
    assert risen("callbot_silences_total", before, after, since="last_word") == 1
    assert risen("callbot_fallbacks_total", before, after, stage="webhook", reason="webhook_timeout") == 1
    assert after["gateway"]["callbot_loop_lag_seconds"].value("_bucket", le="2.5") < after["gateway"][
        "callbot_loop_lag_seconds"
    ].value("_count")


async def test_a_provider_that_breaks_is_counted_here_and_there(
    measured: Platform, emulator: Emulator, make_bot: MakeBot, vendor: ElevenLabsTts
) -> None:
    vendor.day = Day.REFUSED
    bot = await make_bot("echo", voice="elevenlabs:alice")
    before = await pages(measured)
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(GREETING)
        await call.says("a table for four")
        await call.hears("I heard a table for four")
    labels = {"stage": "mouth", "reason": "provider_fell_back"}
    after = await until(measured, lambda found: risen("callbot_fallbacks_total", before, found, **labels) > 0)
    worker = after["tts-worker"]
    assert worker["callbot_provider_attempts_total"].value(provider="elevenlabs", outcome="failed") > 0
    assert worker["callbot_provider_failures_total"].value(provider="elevenlabs", error="refused") > 0
    assert worker["callbot_provider_attempts_total"].value(provider="scripted", outcome="answered") > 0
    assert worker["callbot_provider_left_alone"].value(provider="elevenlabs") == 1
    assert worker["callbot_provider_left_alone"].value(provider="scripted") == 0


async def test_both_formats_are_served_and_name_nobody(measured: Platform) -> None:
    found = await pages(measured, accept="text/plain")
    checks = {s: {one.labels["check"] for one in found[s]["callbot_ready"].samples} for s in SERVICES}
    # What alerts ask for by name.
    assert checks["gateway"] == {"nats", "taking"} and {"nats", "mongodb"} <= checks["call-router"]
    assert all("bus" in checks[worker] for worker in WORKERS)
    values = {
        value
        for page in found.values()
        for family in page.values()
        for sample in family.samples
        for label, value in sample.labels.items()
        if label != "le"
    }
    assert not [value for value in values if re.match(r"CA[0-9a-f]|bot_[0-9a-f]{6}|w-|\+[0-9]", value)]


async def test_a_caller_who_is_sent_away_is_counted(measured: Platform, emulator: Emulator) -> None:
    """Twice: at a 404 Twilio asks the fallback URL, which says the sentence."""
    before = await pages(measured)
    async with emulator.dial(bot_id="bot_unknown") as call:
        await call.hears("Bot not found")
    after = await pages(measured)
    assert risen("callbot_calls_refused_total", before, after, reason="bot_not_found") == 2
    assert risen("callbot_calls_began_total", before, after) == 0


async def test_what_dashboards_alerts_and_scalers_ask_for_is_served(measured: Platform) -> None:
    found = await pages(measured)
    served = {
        service: {sample.name for family in page.values() for sample in family.samples} | {*page}
        for service, page in found.items()
    }
    everywhere = set().union(*served.values())
    named = metrics_named()
    assert len(named) > 30
    assert named - everywhere == set()


async def test_a_seat_that_is_lost_is_counted(
    measured: Platform, emulator: Emulator, make_bot: MakeBot
) -> None:
    """The last test: the worker that takes its place counts from 0."""
    bot = await make_bot("echo")
    before = await pages(measured)
    mind = next(row["pid"] for row in await measured.ps() if row["service"] == "dialog-worker")

    def is_counted(found: dict[str, Page]) -> bool:
        return risen("callbot_seats_lost_total", before, found, role="mind") == 1

    async with emulator.dial(bot_id=bot) as call:
        await call.reply()
        await until(measured, lambda found: seats(found) == [1, 1, 1])
        os.kill(mind, signal.SIGKILL)
        after = await until(measured, is_counted, of=("gateway",))
    assert risen("callbot_seats_lost_total", before, after) == 1
