"""Vendors' packages are imported by the providers that are chosen, and by nobody else."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.samples import WEBHOOK_KEYS
from tests.vendors.google_account import write_key

SDKS = (
    "grpc",
    "google",
    "openai",
    "httpx",
    "httpx2",
    "faster_whisper",
    "ctranslate2",
    "onnxruntime",
    "piper",
)
OPENED = {
    "stt": "from callbot.stt_worker.recognition import LocalGuards, open_recognition\n"
    "from callbot.stt_worker.settings import Settings\n"
    "opened = open_recognition(Settings(), LocalGuards())",
    "tts": "from callbot.runtime.guard import LocalGuard\n"
    "from callbot.tts_worker.opening import open_synthesizer\n"
    "from callbot.tts_worker.settings import Settings\n"
    "opened = open_synthesizer(Settings(), LocalGuard)",
    "dialog": "from contextlib import nullcontext\nopened = nullcontext()",
}
PROGRAM = """
import asyncio, json, sys
import callbot.{worker}_worker.main
{opened}
async def main():
    async with opened:
        print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
asyncio.run(main())
"""


async def imported(worker: str, **env: str) -> set[str]:
    """Of the SDKS, by a process in which this worker's providers are open."""
    kept: Mapping[str, str] = {k: v for k, v in os.environ.items() if not k.startswith("CALLBOT_")}
    program = PROGRAM.format(worker=worker, opened=OPENED[worker])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        env={**kept, "CALLBOT_WEBHOOK_KEYS": WEBHOOK_KEYS, **env},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return set(SDKS) & set(json.loads(out))


@pytest.mark.parametrize("worker", OPENED)
async def test_a_worker_with_scripted_providers_has_imported_none(worker: str) -> None:
    assert await imported(worker, CALLBOT_STT="scripted", CALLBOT_TTS="scripted") == set()


async def test_a_vendor_that_is_spoken_with_by_http_needs_none() -> None:
    env = {"OPENAI_API_KEY": "x", "CALLBOT_OPENAI_STT_MODEL": "x", "DEEPGRAM_API_KEY": "x"}
    assert await imported("stt", CALLBOT_STT="openai,deepgram", **env) == set()
    assert await imported("tts", CALLBOT_TTS="deepgram", **env) == set()


@pytest.mark.parametrize("worker", ["stt", "tts"])
async def test_the_one_that_is_chosen_is_imported(worker: str, tmp_path: Any) -> None:
    """So that the tests above can fail."""
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(write_key(tmp_path))}
    chosen = await imported(worker, CALLBOT_STT="google", CALLBOT_TTS="google", **env)
    assert {"grpc", "google"} <= chosen
    assert not {"openai", "ctranslate2", "piper"} & chosen
