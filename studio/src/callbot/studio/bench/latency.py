"""`callbot bench latency`: from the caller's last word to the bot's first sound, and its parts."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from callbot.studio.bench.results import Results, Row, machine, percentile
from callbot.studio.bench.webhook import Says, answering_webhook, create_bot
from callbot.studio.emulator import Caller, Emulator, NotHeard, ScriptedVoice, Voice, piper_voice
from callbot.studio.up import WITHOUT_LIMITS, running_platform
from callbot.studio.up.scripted_llm import Pace, scripted_llm

UTTERANCES = (
    "I'd like to book a table for four, please.",
    "Tomorrow at seven in the evening.",
    "My name is Anna Miller.",
    "Do you have anything for vegetarians?",
    "Can we sit outside if the weather is good?",
    "How late is the kitchen open on Sundays?",
    "Yes, that would be great.",
    "We might be ten minutes late.",
    "Is there parking near the restaurant?",
    "No, that is all, thank you.",
)
STAGES = {
    "endpointing_ms": "end of turn, from the last speech",
    "eager_ms": "  words to think about (inside it)",
    "stt_ms": "  of which the transcript",
    "won_ms": "  language model's head start",
    "llm_first_token_ms": "language model, first token",
    "llm_ms": "language model, suggestion complete",
    "webhook_ms": "webhook",
    "answer_ms": "turn opened to answer",
    "tts_first_audio_ms": "answer to first audio",
    "voice_to_voice_ms": "voice to voice at the gateway",
    "received_ms": "first audible frame at the emulator",
    "ear_ms": "voice to voice at the ear, played",
}
RECORD_WITHIN_S = 10.0


@dataclass(frozen=True)
class LatencyPlan:
    turns: int
    calls: int
    turns_per_call: int
    webhook_ms: float
    suggest: str
    scripted: bool
    seed: int
    webhook_says: Says = "own"
    llm: Pace | None = None
    """None: the platform's own model."""

    def settings(self) -> dict[str, Any]:
        return {**asdict(self), "llm": self.llm and self.llm.model_dump()}


async def measure(plan: LatencyPlan, out: Path, *, resume: bool) -> int:
    """Prints the table; exit code 1 when a turn was not answered."""
    results = Results(out, plan.settings(), resume=resume)
    options = ("--scripted",) if plan.scripted else ()
    async with (
        language_model(plan.llm) as llm,
        running_platform(*options, env={**WITHOUT_LIMITS, **llm}) as platform,
        answering_webhook(plan.webhook_ms, plan.webhook_says) as webhook,
        aiohttp.ClientSession() as http,
        Emulator(platform.url, account=platform.twilio.accounts.platform) as emulator,
    ):
        bot = await create_bot(http, platform.url, goal="Book tables", webhook=webhook, suggest=plan.suggest)
        speech = await _speech(plan)
        texts = _texts(plan.seed)
        while (missing := plan.turns - len(results.rows)) > 0:
            turns = min(plan.turns_per_call, -(-missing // plan.calls))
            print(f"{len(results.rows)} of {plan.turns} turns measured …", flush=True)
            said = [[next(texts) for _ in range(turns)] for _ in range(plan.calls)]
            calls = (_call(emulator, http, platform.url, bot, [speech[t] for t in s]) for s in said)
            rows = [row for rows in await asyncio.gather(*calls) for row in rows]
            results.add(rows[:missing])
    return _print_table(plan, results.rows)


@asynccontextmanager
async def language_model(pace: Pace | None) -> AsyncIterator[Mapping[str, str]]:
    """A model of that pace, as settings of the platform; none for its own."""
    if pace is None:
        yield {}
        return
    runner = web.AppRunner(scripted_llm(pace), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none-needed", "OPENAI_MODEL": "scripted"}
    finally:
        await runner.cleanup()


async def _speech(plan: LatencyPlan) -> dict[str, bytes]:
    """Spoken ahead, so that the caller's voice costs nothing while it is measured."""
    if plan.scripted:
        return await _spoken_by(ScriptedVoice())
    async with piper_voice() as voice:
        return await _spoken_by(voice)


async def _spoken_by(voice: Voice) -> dict[str, bytes]:
    return {text: await voice.speech(text) for text in UTTERANCES}


def _texts(seed: int) -> Iterator[str]:
    order = list(UTTERANCES)
    random.Random(seed).shuffle(order)
    return itertools.cycle(order)


async def _call(
    emulator: Emulator, http: aiohttp.ClientSession, url: str, bot: str, speech: Sequence[bytes]
) -> list[Row]:
    at_the_ear: list[dict[str, float | None]] = []
    async with emulator.dial(bot_id=bot) as call:
        await call.hears(within_s=10)
        for audio in speech:
            await call.says(audio)
            at_the_ear.append(await _answered_after_ms(call))
        call.hangs_up()
        await call.ended()
    stages = await _stages(http, url, call.sid)
    lateness_ms = call.lateness.p99_ms
    return [
        {**(stages[i] if i < len(stages) else {}), **heard, "emulator_late_ms": lateness_ms}
        for i, heard in enumerate(at_the_ear)
    ]


async def _answered_after_ms(call: Caller) -> dict[str, float | None]:
    try:
        heard = await call.reply(within_s=8)
    except NotHeard:
        return {"received_ms": None, "ear_ms": None}
    return {"received_ms": heard.received_after_ms, "ear_ms": heard.voice_to_voice_ms}


async def _stages(http: aiohttp.ClientSession, url: str, call_id: str) -> list[dict[str, Any]]:
    """The times of each turn after the greeting, from the call's record."""
    async with asyncio.timeout(RECORD_WITHIN_S):
        while True:
            async with http.get(f"{url}/v1/calls/{call_id}") as answer:
                record = await answer.json() if answer.status == 200 else {}
            if record.get("ended_at"):
                return [_row(turn) for turn in record["turns"] if turn["input"] == "speech"]
            await asyncio.sleep(0.1)


def _row(turn: Mapping[str, Any]) -> dict[str, Any]:
    told = ("speculation", "prepared", "user_text", "source")
    return {**turn["times"], **{name: turn[name] for name in told}}


def _print_table(plan: LatencyPlan, rows: Sequence[Row]) -> int:
    print(f"\n{machine()}; {plan.settings()}")
    print(f"{'milliseconds':40} {'p50':>7} {'p95':>7} {'p99':>7} {'turns':>6}")
    for key, what in STAGES.items():
        values = [row[key] for row in rows if row.get(key) is not None]
        if values:
            shares = (percentile(values, share) for share in (0.5, 0.95, 0.99))
            print(f"{what:40} {' '.join(f'{value:7.0f}' for value in shares)} {len(values):6}")
    speculation = Counter(row["speculation"] for row in rows if "speculation" in row)
    prepared = sum(bool(row.get("prepared")) for row in rows)
    print(f"thinking ahead: {dict(speculation)}; first sentence prepared in {prepared} turns")
    unanswered = sum(row["ear_ms"] is None for row in rows)
    late_ms = max((row["emulator_late_ms"] for row in rows), default=0.0)
    print(f"{unanswered} of {len(rows)} turns unanswered")
    print(f"the emulator's own frames were late by {late_ms:.0f} ms (p99)")
    return 1 if unanswered else 0
