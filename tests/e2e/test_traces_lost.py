"""Calls, and the stop of a service, while the collector of traces is slow or refuses them."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack

import aiohttp
import pytest

from callbot.schemas.subjects import SERVICES
from callbot.studio.emulator import Emulator
from callbot.studio.up.running import Platform
from tests.conftest import record_in, serve
from tests.e2e.test_traces import ANSWER, GREETING, WORDS, a_bot, logged, platform_with
from tests.servers import free_port
from tests.vendors.customer import Customer
from tests.vendors.openai_server import LanguageModel
from tests.vendors.otlp_collector import Day, OtlpCollector


@pytest.mark.parametrize("day", ["500", "hangs", "away"])
async def test_calls_are_as_ever_while_the_collector_is_of_no_use(
    servers: AsyncExitStack, language_model: LanguageModel, customer: Customer, name: str, day: Day
) -> None:
    collector = OtlpCollector(day)
    away = f"http://127.0.0.1:{free_port()}"
    endpoint = away if day == "away" else await serve(servers, collector.app())
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    async with platform_with(servers, language_model, **settings) as platform:
        async with (
            aiohttp.ClientSession(platform.url, timeout=aiohttp.ClientTimeout(total=10)) as api,
            Emulator(platform.url, account=platform.twilio.accounts.platform) as emulator,
        ):
            bot = await a_bot(api, customer.webhook("echo", name))
            async with emulator.dial(bot_id=bot) as call:
                await call.hears(GREETING)
                for words in (WORDS, "At seven"):
                    await call.says(words)
                    await call.hears(f"I heard {words}")
                call.hangs_up()
                await call.ended()
            turns = (await record_in(api, call.sid))["turns"]
        assert [turn["say"] for turn in turns] == [GREETING, ANSWER, "I heard At seven"]
        async with asyncio.timeout(15):
            while len(said := complaints(platform)) < len(SERVICES) - 1:
                await asyncio.sleep(0.1)
    assert set(said.values()) == {1}, "once for an outage, by each"
    assert collector.posts > 0 or day == "away"
    # SIGKILL would have ended it, had a service waited for its traces.
    assert platform.process.returncode == 0


def complaints(platform: Platform) -> Counter[str]:
    return Counter(line["part"] for line in logged(platform) if "traces are lost" in line["line"])


STOPPING = """
import sys, time
from callbot.runtime import tracing
from callbot.runtime.service import traces
from callbot.runtime.settings import ServiceSettings
with traces(ServiceSettings(), "gateway"):
    for number in range(5000):
        tracing.record_root("turn", 1, 2, f"CA{number:032x}.1")
    began = time.monotonic()
print(time.monotonic() - began)
"""


@pytest.mark.parametrize("day", ["good", "500", "hangs"])
async def test_a_service_stops_within_two_seconds_with_a_full_queue(
    servers: AsyncExitStack, day: Day
) -> None:
    collector = OtlpCollector(day)
    endpoint = await serve(servers, collector.app())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        STOPPING,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint},
        stdout=subprocess.PIPE,
    )
    began_s = time.monotonic()
    told, _ = await process.communicate()
    assert process.returncode == 0 and collector.posts > 0
    assert float(told) < 2, f"{float(told):.2f} s in {time.monotonic() - began_s:.1f} s"
    if day == "good":
        assert 0 < len(collector.spans) <= 5000
