"""Which voices work, as the tts-workers tell it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callbot.call_router.settings import Settings
from callbot.call_router.voices import FRESH_S, READ_WITHIN_S, Voices
from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import Refused
from callbot.schemas.bots import BotPatch, BotRef, UpdateBot, VoiceStatus
from callbot.schemas.memory import VOICES
from callbot.schemas.subjects import BOT_GET, BOT_UPDATE, VOICE_LIST
from callbot.schemas.voices import ListVoices, VoiceInfo, WorkerVoices, fitting
from tests.servers import Server, nats_server, url_for

from .conftest import ASK_S, as_user, new_bot
from .test_routing import admit, new_call_id, route

pytestmark = pytest.mark.usefixtures("router")


QUESTION = ListVoices(credential=as_user())


def info(voice: str, language: str = "en-US") -> VoiceInfo:
    provider, _, name = voice.partition(":")
    return VoiceInfo(voice=voice, provider=provider, name=name, language=language)


async def tell(tts: Bus, worker_id: str, *voices: str) -> None:
    bucket = await tts.bucket(VOICES)
    await bucket.put(worker_id, WorkerVoices(voices=[info(voice) for voice in voices]).encode())


async def listed(voices: Voices) -> list[str]:
    question = ListVoices(credential=as_user())
    return [one.voice for one in (await voices.list("public", question)).voices]


@pytest.fixture(scope="module")
async def tts(nats: Server) -> AsyncIterator[Bus]:
    async with connect(url_for("tts-worker", nats), speaks_as="tts-worker") as bus:
        yield bus


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with connect(settings.nats_url, speaks_as="call-router") as bus:
        yield bus


@pytest.fixture(autouse=True)
async def no_voices(tts: Bus) -> AsyncIterator[None]:
    yield
    bucket = await tts.bucket(VOICES)
    for worker_id in ("w-1", "w-2", "w-3"):
        await bucket.delete(worker_id)


async def test_every_workers_voices_are_listed_once_and_in_order(tts: Bus, bus: Bus) -> None:
    assert await listed(Voices(bus)) == []
    await tell(tts, "w-1", "polly:joanna", "piper:joe")
    await tell(tts, "w-2", "piper:joe", "elevenlabs:emma")
    assert await listed(Voices(bus)) == ["elevenlabs:emma", "piper:joe", "polly:joanna"]
    await tell(tts, "w-1", "polly:matthew")
    await (await tts.bucket(VOICES)).delete("w-2")
    assert await listed(Voices(bus)) == ["polly:matthew"]


async def test_what_cannot_be_read_hides_nothing_else(tts: Bus, bus: Bus) -> None:
    await (await tts.bucket(VOICES)).put("w-1", b'{"voices": [{"voice": "nobody:knows"}]}')
    await tell(tts, "w-2", "piper:joe")
    await (await tts.bucket(VOICES)).put("w-3", b"\xff")
    assert await listed(Voices(bus)) == ["piper:joe"]


async def test_a_bot_shows_whether_exactly_its_voice_works(gateway: Bus, tts: Bus) -> None:
    await tell(tts, "w-1", "piper:joe", "polly:joanna")

    async def status(voice: str) -> VoiceStatus:
        made = await new_bot(gateway, voice=voice)
        ref = BotRef(credential=as_user(), bot_id=made.id)
        shown = await gateway.ask(BOT_GET, ref, timeout_s=ASK_S)
        assert shown.voice_status is made.voice_status
        return shown.voice_status

    question = ListVoices(credential=as_user())
    async with asyncio.timeout(2 * FRESH_S):
        # What the router has read before is two seconds old at most.
        while not (await gateway.ask(VOICE_LIST, question, timeout_s=ASK_S)).voices:
            await asyncio.sleep(0.1)
    assert await status("polly:joanna") is VoiceStatus.OK
    assert await status("polly:joann") is VoiceStatus.FALLBACK
    assert await status("elevenlabs:emma") is VoiceStatus.FALLBACK


async def test_a_call_knows_whether_its_bots_voice_works(gateway: Bus, tts: Bus, bus: Bus) -> None:
    await tell(tts, "w-1", "piper:joe")
    async with asyncio.timeout(2 * FRESH_S):
        while not (await gateway.ask(VOICE_LIST, ListVoices(credential=as_user()), timeout_s=ASK_S)).voices:
            await asyncio.sleep(0.1)
    for voice, status in (("piper:joe", VoiceStatus.OK), ("elevenlabs:emma", VoiceStatus.FALLBACK)):
        bot = await new_bot(gateway, voice=voice)
        brief = await admit(gateway, await route(gateway, bot.id, new_call_id()))
        assert (brief.voice, brief.voice_status) == (voice, status)


async def test_a_voice_is_known_by_its_vendors_id_as_well(tts: Bus, bus: Bus) -> None:
    by_id = VoiceInfo(
        voice="elevenlabs:emma", provider="elevenlabs", name="emma", language="en-US", id="21m00T"
    )
    await (await tts.bucket(VOICES)).put("w-1", WorkerVoices(voices=[by_id, info("piper:joe")]).encode())
    voices = Voices(bus)
    assert await voices.works("elevenlabs:emma") and await voices.works("elevenlabs:21m00T")
    assert await voices.status_in_call("elevenlabs:21m00T") is VoiceStatus.OK
    for other in ("elevenlabs:21m00", "polly:21m00T", "piper:"):
        assert not await voices.works(other)


GOOGLES = [
    info(f"google:{place}-Chirp3-HD-Vindemiatrix{n}") for place in ("en-US", "cmn-CN") for n in range(1050)
]
CLONED = [
    VoiceInfo(
        voice=f"elevenlabs:{n:020}",
        provider="elevenlabs",
        name=f"Somebody calm and deep, for stories {n}",
        language="en-US",
        id=f"{n:020}",
    )
    for n in range(1000)
]
POLLYS = [info(f"polly:Joanna{n}", "de-DE") for n in range(100)]


async def all_of(voices: Voices, **narrowed: str) -> list[VoiceInfo]:
    question = ListVoices.model_validate({"credential": as_user(), **narrowed})
    async with asyncio.timeout(ASK_S):
        while True:
            try:
                return (await voices.list("public", question)).voices
            except Refused:
                await asyncio.sleep(FRESH_S)


async def test_all_voices_of_vendors_with_thousands_are_listed(gateway: Bus, tts: Bus, bus: Bus) -> None:
    """As ElevenLabs, Google and Polly have them, told by three workers."""
    everything = [*CLONED, *GOOGLES, *POLLYS]
    for worker_id in ("w-1", "w-2", "w-3"):
        await (await tts.bucket(VOICES)).put(worker_id, WorkerVoices(voices=everything).encode())
    voices = Voices(bus)
    assert {one.voice for one in await all_of(voices)} == {one.voice for one in everything}
    assert len(await all_of(voices, provider="polly")) == len(await all_of(voices, language="de")) == 100
    assert await voices.works("elevenlabs:00000000000000000999") and await voices.works("polly:joanna99")
    async with asyncio.timeout(2 * FRESH_S):
        # The whole list crosses the broker.
        while len((await gateway.ask(VOICE_LIST, QUESTION, timeout_s=ASK_S)).voices) < 3200:
            await asyncio.sleep(0.1)


async def test_of_more_voices_than_fit_into_an_answer_all_are_known(gateway: Bus, tts: Bus, bus: Bus) -> None:
    bucket = await tts.bucket(VOICES)
    long = "x" * 150
    for worker_id, provider in (("w-1", "acme"), ("w-2", "zebra")):
        many = fitting([info(f"{provider}:{long}{n}") for n in range(9000)])
        await bucket.put(worker_id, WorkerVoices(voices=many).encode())
    voices = Voices(bus)
    of_zebra = await all_of(voices, provider="zebra")
    assert of_zebra and await voices.works(of_zebra[-1].voice)
    async with asyncio.timeout(2 * FRESH_S):
        # The first ones; what it had read before is forgotten by then.
        while {v.provider for v in (await gateway.ask(VOICE_LIST, QUESTION, timeout_s=ASK_S)).voices} != {
            "acme"
        }:
            await asyncio.sleep(0.1)
    narrowed = ListVoices(credential=as_user(), provider="zebra")
    assert (await gateway.ask(VOICE_LIST, narrowed, timeout_s=ASK_S)).voices == of_zebra


async def test_a_bot_may_not_have_a_name_that_several_voices_have(gateway: Bus, tts: Bus, bus: Bus) -> None:
    twins = [
        VoiceInfo(voice=f"elevenlabs:{id}", provider="elevenlabs", name="Emma", language="en", id=id)
        for id in ("a" * 20, "b" * 20)
    ]
    await (await tts.bucket(VOICES)).put("w-1", WorkerVoices(voices=twins).encode())
    async with asyncio.timeout(2 * FRESH_S):
        while len((await gateway.ask(VOICE_LIST, QUESTION, timeout_s=ASK_S)).voices) != 2:
            await asyncio.sleep(0.1)
    made = await new_bot(gateway, voice=twins[0].voice)
    assert made.voice_status is VoiceStatus.OK
    changes = UpdateBot(credential=as_user(), bot_id=made.id, changes=BotPatch(voice="elevenlabs:emma"))
    for asking in (
        new_bot(gateway, voice="elevenlabs:EMMA"),
        gateway.ask(BOT_UPDATE, changes, timeout_s=ASK_S),
    ):
        with pytest.raises(Refused) as refused:
            await asking
        assert refused.value.code == "ambiguous_voice"
        assert refused.value.details["candidates"].split() == [twin.voice for twin in twins]
    with pytest.raises(Refused, match="invalid_request"):
        await new_bot(gateway, voice="nobody:emma")


async def test_while_the_broker_is_away_the_last_voices_are_known(tmp_path: Path) -> None:
    nats = nats_server(tmp_path)
    nats.start()
    try:
        async with connect(url_for("call-router", nats), speaks_as="call-router") as bus:
            voices = Voices(bus)
            with pytest.raises(Refused, match="unavailable"):
                await listed(voices)
            assert not await voices.works("piper:joe")
            assert await voices.status_in_call("piper:joe") is VoiceStatus.OK
            await bus.jetstream().create_key_value(bucket=VOICES.name)
            async with connect(url_for("tts-worker", nats), speaks_as="tts-worker") as tts:
                await tell(tts, "w-1", "piper:joe")
            voices = Voices(bus)
            assert await listed(voices) == ["piper:joe"]
            nats.send(signal.SIGSTOP)
            await asyncio.sleep(FRESH_S)
            async with asyncio.timeout(READ_WITHIN_S + 0.3):
                assert await listed(voices) == ["piper:joe"]
                assert await voices.works("piper:joe")
            nats.send(signal.SIGCONT)
    finally:
        nats.send(signal.SIGCONT)
        nats.kill()
