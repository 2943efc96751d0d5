"""Voices in the bucket, from a real worker process and from one whose provider comes and goes."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from callbot.runtime.bus import connect
from callbot.schemas.memory import VOICES
from callbot.schemas.voices import VoiceInfo, WorkerVoices
from callbot.tts_worker import voices as telling
from callbot.tts_worker.providers.piper import PiperSynthesizer
from callbot.tts_worker.providers.piper_voice import name_and_language
from callbot.tts_worker.providers.scripted import ScriptedSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import voice_info
from callbot.tts_worker.voices import ToldVoices
from tests.servers import Server, free_port, nats_server, url_for
from tests.tts_chain import chain_of

JOE = voice_info("piper", "joe", "en-US")


class Changing(ScriptedSynthesizer):
    """The shipped scripted voice, whose voices a test can change."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.voices: Sequence[VoiceInfo] = (JOE,)


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[Server]:
    """Without a bucket yet."""
    nats = nats_server(tmp_path)
    nats.start()
    yield nats
    nats.kill()


@asynccontextmanager
async def call_router(nats: Server) -> AsyncIterator[KeyValue]:
    """What makes the bucket, and reads it."""
    async with connect(url_for("call-router", nats), speaks_as="call-router") as bus:
        yield await bus.jetstream().create_key_value(bucket=VOICES.name, ttl=VOICES.ttl_s)


async def told(bucket: KeyValue, worker_id: str, within_s: float = 10) -> list[VoiceInfo]:
    async with asyncio.timeout(within_s):
        while True:
            try:
                return WorkerVoices.decode((await bucket.get(worker_id)).value or b"").voices
            except KeyNotFoundError:
                await asyncio.sleep(0.05)


async def revision(bucket: KeyValue, worker_id: str) -> int:
    """As soon as the broker answers."""
    async with asyncio.timeout(10):
        while True:
            try:
                return (await bucket.get(worker_id)).revision or 0
            except NatsError:
                await asyncio.sleep(0.05)


def readiness(port: int) -> dict[str, bool]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as e:
        with e:
            found = json.load(e)
    except OSError:
        return {}
    checks: dict[str, bool] = found["checks"]
    return checks


async def checks(port: int, wanted: dict[str, bool]) -> None:
    async with asyncio.timeout(20):
        while (await asyncio.to_thread(readiness, port)) != wanted:
            await asyncio.sleep(0.05)


@pytest.fixture
def worker_port(own_nats: Server) -> Iterator[int]:
    """Of a worker process's health page."""
    port = free_port()
    env = {
        **os.environ,
        "NATS_URL": url_for("tts-worker", own_nats),
        "CALLBOT_TTS": "scripted",
        "CALLBOT_HEALTH_PORT": str(port),
        "CALLBOT_WORKER_ID": "w-test",
    }
    process = subprocess.Popen([sys.executable, "-m", "callbot.tts_worker"], env=env)
    try:
        yield port
    finally:
        process.terminate()
        assert process.wait(10) == 0


async def test_a_worker_is_ready_when_its_voices_are_known(own_nats: Server, worker_port: int) -> None:
    await checks(worker_port, {"bus": True, "voice": True, "voices": False})
    async with call_router(own_nats) as bucket:
        await checks(worker_port, {"bus": True, "voice": True, "voices": True})
        assert await told(bucket, "w-test") == [JOE]


async def test_voices_are_told_again_and_only_while_they_work(
    own_nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "TELL_EVERY_S", 0.05)
    monkeypatch.setattr(telling, "LOOK_EVERY_S", 0.05)
    synthesizer = Changing(Settings(tts="scripted"))
    async with (
        call_router(own_nats) as bucket,
        connect(url_for("tts-worker", own_nats), speaks_as="tts-worker") as bus,
        ToldVoices(bus, chain_of(synthesizer), "w-1") as voices,
    ):
        assert await told(bucket, "w-1") == [JOE]
        emma = voice_info("elevenlabs", "emma", "en-GB")
        synthesizer.voices = (JOE, emma)
        async with asyncio.timeout(5):
            while await told(bucket, "w-1") != [JOE, emma]:
                await asyncio.sleep(0.02)
        synthesizer.ready = False
        await asyncio.sleep(0.2)
        before = (await bucket.get("w-1")).revision
        await asyncio.sleep(0.3)
        assert (await bucket.get("w-1")).revision == before
        synthesizer.ready, synthesizer.voices = True, (emma,)
        async with asyncio.timeout(5):
            while await told(bucket, "w-1") != [emma]:
                await asyncio.sleep(0.02)
        assert voices.told


async def test_a_broker_that_was_away_is_told_again(
    own_nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "TELL_EVERY_S", 0.05)
    monkeypatch.setattr(telling, "LOOK_EVERY_S", 0.05)
    async with (
        call_router(own_nats) as bucket,
        connect(url_for("tts-worker", own_nats), speaks_as="tts-worker") as bus,
        ToldVoices(bus, chain_of(ScriptedSynthesizer(Settings())), "w-1") as voices,
    ):
        await told(bucket, "w-1")
        own_nats.kill()
        await asyncio.sleep(0.2)
        assert voices.told
        own_nats.start()
        before = await revision(bucket, "w-1")
        async with asyncio.timeout(10):
            while await revision(bucket, "w-1") <= before:
                await asyncio.sleep(0.05)


async def test_pipers_voice_has_the_name_that_bots_know(piper: PiperSynthesizer) -> None:
    assert piper.voices == [JOE]


@pytest.mark.parametrize(
    ("config", "name", "language"),
    [
        ({"dataset": "joe", "language": {"code": "en_US"}}, "joe", "en-US"),
        ({"dataset": "", "language": {"code": "de_DE"}}, "de_DE-thorsten", "de-DE"),
        ({"dataset": "two words: odd"}, "two-words-odd", "und"),
        ({"language": "en"}, "de_DE-thorsten", "und"),
    ],
)
def test_a_voices_own_words_about_itself(config: dict[str, object], name: str, language: str) -> None:
    assert name_and_language(config, otherwise="de_DE-thorsten") == (name, language)
    assert voice_info("piper", name, language).name == name
