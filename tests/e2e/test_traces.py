"""One trace a turn over all services, by a collector that decodes it."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from callbot.runtime.tracing import sampled
from callbot.schemas.subjects import SERVICES
from callbot.studio.emulator import Emulator
from callbot.studio.emulator.call_parameters import new_sid
from callbot.studio.trace.collector import Span
from callbot.studio.trace.waterfall import waterfall
from callbot.studio.up.running import WITHOUT_LIMITS, Platform, running_platform
from tests.conftest import MS_PER_CHARACTER, record_in, serve
from tests.vendors.customer import Customer
from tests.vendors.openai_server import LanguageModel
from tests.vendors.otlp_collector import OtlpCollector

GREETING = "Hello! How can I help you?"
WORDS = "A table for four"
ANSWER = f"I heard {WORDS}"
SHARE = 0.5
CLOCKS_MS = 1.0
"""One machine, one clock; a stage's times come from it by two conversions."""
SPOKEN_TURN = {
    "turn": "gateway",
    "caller_speech": "stt-worker",
    "end_of_turn": "stt-worker",
    "stt": "stt-worker",
    "llm": "dialog-worker",
    "llm_first_token": "dialog-worker",
    "answer": "dialog-worker",
    "webhook": "dialog-worker",
    "tts_first_audio": "tts-worker",
    "voice_to_voice": "gateway",
    "first_audible": "gateway",
    "bot_speech": "gateway",
    "turn_recorded": "call-router",
}


def a_call(*, traced: bool) -> str:
    """A call's id of which the hash says so."""
    return next(sid for sid in iter(lambda: new_sid("CA"), "") if sampled(sid, SHARE) is traced)


@asynccontextmanager
async def platform_with(servers: AsyncExitStack, model: LanguageModel, **env: str) -> AsyncIterator[Platform]:
    told = {
        **WITHOUT_LIMITS,
        "OPENAI_BASE_URL": f"{await serve(servers, model.app())}/v1",
        "OPENAI_API_KEY": "unused",
        "OPENAI_MODEL": "test",
        "CALLBOT_SCRIPTED_MS_PER_CHARACTER": str(MS_PER_CHARACTER),
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    async with running_platform("--scripted", env={**told, **env}) as running:
        yield running


@pytest.fixture(scope="module")
def collector() -> OtlpCollector:
    return OtlpCollector()


@pytest.fixture(scope="module")
async def traced(
    servers: AsyncExitStack, language_model: LanguageModel, collector: OtlpCollector
) -> AsyncIterator[Platform]:
    endpoint = await serve(servers, collector.app())
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "CALLBOT_TRACES_SAMPLE": str(SHARE)}
    async with platform_with(servers, language_model, **settings) as running:
        yield running


@pytest.fixture
async def api(traced: Platform) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(traced.url, timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture
async def emulator(traced: Platform) -> AsyncIterator[Emulator]:
    async with Emulator(traced.url, account=traced.twilio.accounts.platform) as emulator:
        yield emulator


async def a_bot(api: aiohttp.ClientSession, webhook: str) -> str:
    bot = {"goal": "Test", "greeting": GREETING, "webhook": webhook}
    async with api.post("/v1/bots", json=bot) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["id"])


def in_order(spans: Sequence[Span]) -> list[str]:
    """What is wrong with the tree: parents that are not there, stages outside theirs."""
    by_id = {span.span_id: span for span in spans}
    wrong = [f"{len(spans) - len(by_id)} ids twice"] if len(by_id) != len(spans) else []
    for span in spans:
        if not span.parent_id:
            continue
        if (parent := by_id.get(span.parent_id)) is None:
            wrong.append(f"{span.name} has no parent")
        elif span.start_ns < parent.start_ns - CLOCKS_MS * 1e6:
            wrong.append(f"{span.name} begins before {parent.name}")
        elif span.end_ns > parent.end_ns + CLOCKS_MS * 1e6 and not span.consumer:
            wrong.append(f"{span.name} ends after {parent.name}")
    return wrong


async def test_a_turn_is_one_complete_and_ordered_trace_over_all_services(
    traced: Platform,
    api: aiohttp.ClientSession,
    emulator: Emulator,
    customer: Customer,
    collector: OtlpCollector,
    name: str,
) -> None:
    bot = await a_bot(api, customer.webhook("echo", name))
    async with emulator.dial(bot_id=bot, call_sid=a_call(traced=True)) as call:
        await call.hears(GREETING)
        await call.says(WORDS)
        await call.hears(ANSWER)
        call.hangs_up()
        await call.ended()
    async with asyncio.timeout(20):
        spans = await collector.turn(f"{call.sid}.1", SPOKEN_TURN)
    assert {(span.name, span.service) for span in spans} == set(SPOKEN_TURN.items())
    assert {span.service for span in spans} == set(SERVICES)
    assert len({span.trace_id for span in spans}) == 1
    assert [span.name for span in spans if not span.parent_id] == ["turn"]
    assert in_order(spans) == []
    at = {span.name: span for span in reversed(spans)}
    starts = [
        "turn",
        "caller_speech",
        "end_of_turn",
        "stt",
        "llm",
        "webhook",
        "tts_first_audio",
        "bot_speech",
    ]
    assert sorted(starts, key=lambda stage: at[stage].start_ns) == starts
    assert at["turn_recorded"].start_ns >= at["turn"].end_ns, "told after it, and marked as such"
    assert at["llm_first_token"].parent_id == at["llm"].span_id
    assert at["webhook"].parent_id == at["answer"].span_id
    assert at["stt"].parent_id == at["end_of_turn"].span_id
    # The model began to think while the end of the turn was still being decided.
    assert at["llm"].facts["callbot.speculation"] == "used"
    assert at["llm"].start_ns < at["end_of_turn"].end_ns <= at["answer"].start_ns
    assert collector.faults == []
    await its_figures_are_those_of_the_record(api, call.sid, at)
    words = [value for span in spans for value in span.facts.values() if "table" in str(value)]
    assert words == [], "nobody reads callers' words in traces"
    picture = waterfall(spans, "A turn")
    assert picture.count("<title>") == 1 + len(spans)


async def its_figures_are_those_of_the_record(
    api: aiohttp.ClientSession, call_id: str, at: dict[str, Span]
) -> None:
    times = (await record_in(api, call_id))["turns"][1]["times"]
    for stage in ("voice_to_voice", "llm_first_token", "llm"):
        assert at[stage].ms == pytest.approx(times[f"{stage}_ms"], abs=2)
    assert at["webhook"].ms >= times["webhook_ms"] - 1


async def test_greeting_keys_and_silence_have_their_traces_with_links_to_the_calls(
    traced: Platform,
    api: aiohttp.ClientSession,
    emulator: Emulator,
    customer: Customer,
    collector: OtlpCollector,
    name: str,
) -> None:
    bot = await a_bot(api, customer.webhook("echo", name))
    async with emulator.dial(bot_id=bot, call_sid=a_call(traced=True)) as call:
        await call.hears(GREETING)
        await call.presses("42#")
        assert (await call.reply()).texts == ("I heard 42",)
        await call.hears(within_s=12)
        call.hangs_up()
        await call.ended()
    async with asyncio.timeout(20):
        turns = [await collector.turn(f"{call.sid}.{number}", ("turn",)) for number in range(3)]
        while not (calls := [s for s in collector.spans if is_call(s, call.sid)]):
            await asyncio.sleep(0.05)
    roots = [next(span for span in spans if not span.parent_id) for spans in turns]
    assert [root.facts["callbot.input"] for root in roots] == ["greeting", "dtmf", "silence"]
    (whole,) = calls
    assert {root.links for root in roots} == {(whole.trace_id,)}
    assert len({root.trace_id for root in roots} | {whole.trace_id}) == 4
    assert whole.start_ns <= roots[0].start_ns and roots[-1].end_ns <= whole.end_ns + CLOCKS_MS * 1e6
    assert {"answer", "webhook"} <= {span.name for span in turns[1]}
    assert collector.faults == []


def is_call(span: Span, call_id: str) -> bool:
    return span.name == "call" and span.facts["callbot.call_id"] == call_id


async def test_a_call_that_is_not_sampled_leaves_nothing_anywhere_and_lines_name_the_trace(
    traced: Platform,
    api: aiohttp.ClientSession,
    emulator: Emulator,
    customer: Customer,
    collector: OtlpCollector,
    name: str,
) -> None:
    bot = await a_bot(api, customer.webhook("echo", name))
    for sid in (a_call(traced=False), a_call(traced=True)):
        async with emulator.dial(bot_id=bot, call_sid=sid) as call:
            await call.hears(GREETING)
            await call.says(WORDS)
            await call.hears(ANSWER)
            call.hangs_up()
            await call.ended()
        await record_in(api, sid)
        if not sampled(sid, SHARE):
            untraced = sid
    async with asyncio.timeout(20):
        spans = await collector.turn(f"{call.sid}.1", SPOKEN_TURN)
    assert [span for span in collector.spans if span.facts["callbot.call_id"] == untraced] == []
    lines = [line for line in logged(traced) if line.get("turn_id") == f"{call.sid}.1"]
    assert {line["trace_id"] for line in lines if "trace_id" in line} == {spans[0].trace_id}
    assert all(line["call_id"] == call.sid for line in lines)


def logged(platform: Platform) -> list[dict[str, str]]:
    """What each line says of itself, and the line; `callbot up` writes `key=value`."""
    found = []
    for line in platform.log.read_text().splitlines():
        who, _, told = line.partition("│")
        facts = dict(re.findall(r"(\w+)=(\S+)", told))
        found.append({**facts, "part": who.strip(), "line": told})
    return found
