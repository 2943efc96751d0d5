"""One call through a platform of this machine, its last turn's trace as a table and as a picture."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from callbot.studio.bench.latency import language_model
from callbot.studio.bench.webhook import answering_webhook, create_bot
from callbot.studio.emulator import Emulator, ScriptedVoice, Voice, piper_voice
from callbot.studio.trace.collector import Collector, Span, serving
from callbot.studio.trace.waterfall import waterfall
from callbot.studio.up import WITHOUT_LIMITS, PlatformFailed, running_platform
from callbot.studio.up.scripted_llm import Pace

STAGES = ("turn", "caller_speech", "end_of_turn", "stt", "llm", "answer", "webhook", "tts_first_audio")
GATHERED_WITHIN_S = 30.0
EXPORT_EVERY_MS = "250"
WEBHOOK_MS = 20.0


def draw(out: Path, texts: Sequence[str], *, scripted: bool, llm: Pace | None) -> int:
    """`llm`: None for the platform's own. Exit code 1, and a sentence, where the trace does not come."""
    try:
        spans = asyncio.run(_traced(texts, scripted=scripted, llm=llm))
    except (PlatformFailed, aiohttp.ClientError, TimeoutError) as e:
        reason = str(e) or "the spans of the turn did not come"
        print(f"callbot trace: {reason}", file=sys.stderr)
        return 1
    for span in spans:
        ms = (span.start_ns - spans[0].start_ns) / 1e6
        print(f"{ms:8.0f} ms {span.ms:9.1f} ms  {span.service:14} {span.name}")
    models = "scripted recogniser and voice" if scripted else "embedded recogniser and voice"
    model = "its own language model" if llm is None else f"a language model of {llm.first_token_ms:g} ms"
    title = f"One turn: “{texts[-1]}” ({models}, {model})"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(waterfall(spans, title))
    print(f"drawn: {out}")
    return 0


async def _traced(texts: Sequence[str], *, scripted: bool, llm: Pace | None) -> list[Span]:
    collector = Collector()
    options = ("--scripted",) if scripted else ()
    async with serving(collector) as endpoint, language_model(llm) as model:
        env = {
            **WITHOUT_LIMITS,
            **model,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": EXPORT_EVERY_MS,
        }
        async with (
            running_platform(*options, env=env) as platform,
            answering_webhook(WEBHOOK_MS) as webhook,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
            Emulator(platform.url, account=platform.twilio.accounts.platform) as emulator,
        ):
            bot = await create_bot(http, platform.url, goal="Take table reservations", webhook=webhook)
            speech = await _spoken(texts, scripted=scripted)
            async with emulator.dial(bot_id=bot) as call:
                await call.hears(within_s=10)
                for audio in speech:
                    await call.says(audio)
                    await call.reply(within_s=10)
                call.hangs_up()
                await call.ended()
            async with asyncio.timeout(GATHERED_WITHIN_S):
                return await collector.turn(f"{call.sid}.{len(texts)}", (*STAGES, "turn_recorded"))


async def _spoken(texts: Sequence[str], *, scripted: bool) -> list[bytes]:
    if scripted:
        return await _by(ScriptedVoice(), texts)
    async with piper_voice() as voice:
        return await _by(voice, texts)


async def _by(voice: Voice, texts: Sequence[str]) -> list[bytes]:
    return [await voice.speech(text) for text in texts]
