"""A real voice and a real NATS server, each started once for all tests of this member."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from callbot.tts_worker.providers.piper import PiperSynthesizer
from callbot.tts_worker.settings import Settings


@pytest_asyncio.fixture(scope="session")
async def piper() -> AsyncIterator[PiperSynthesizer]:
    # A loaded machine may take longer than a caller would wait.
    async with PiperSynthesizer(Settings(tts_first_audio_s=20.0)) as synthesizer:
        yield synthesizer


@pytest_asyncio.fixture(scope="session")
async def nats_url() -> AsyncIterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Path(sys.executable).with_name("nats-server")
    process = await asyncio.create_subprocess_exec(
        server, "-a", "127.0.0.1", "-p", str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
