"""Phrases spoken ahead into the bucket, by a real worker's half on a real NATS server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import ProviderError, Refused
from callbot.schemas.memory import PHRASES
from callbot.schemas.message import Receipt
from callbot.schemas.subjects import PHRASES_SPEAK
from callbot.schemas.text_audio import audible
from callbot.schemas.turn_taking import SpeakPhrases, phrase_key
from callbot.schemas.voices import VoiceInfo
from callbot.tts_worker import phrases
from callbot.tts_worker.phrases import PhraseSpeaker, speaking_phrases
from callbot.tts_worker.providers.scripted import ScriptedSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info
from callbot.tts_worker.urgency import WAITED_FOR, Urgency
from tests.servers import Server, nats_server, url_for
from tests.tts_chain import chain_of

HELLO, BYE = "Hello, this is the Blue Duck.", "Good bye."


class Counting(ScriptedSynthesizer):
    """The shipped scripted voice, which says how often, and how many at once."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.voices: Sequence[VoiceInfo] = (voice_info("piper", "joe", "en-US"),)
        self.asked: list[tuple[str, bool]] = []
        self.at_once = self.most_at_once = 0
        self.may_speak = asyncio.Event()
        self.may_speak.set()

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        self.asked.append((text, urgency.waited_for))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.may_speak.wait()
            async for chunk in super().speak(text, voice, urgency):
                yield chunk
        finally:
            self.at_once -= 1


class Failing(ScriptedSynthesizer):
    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        raise ProviderError("unavailable", "on purpose", retryable=True)
        yield b""


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[Server]:
    """Without a bucket yet."""
    nats = nats_server(tmp_path)
    nats.start()
    yield nats
    nats.kill()


@pytest.fixture
async def bucket(own_nats: Server) -> AsyncIterator[KeyValue]:
    async with connect(url_for("call-router", own_nats), speaks_as="call-router") as bus:
        await bus.jetstream().create_key_value(bucket=PHRASES.name, ttl=PHRASES.ttl_s)
        async with connect(url_for("gateway", own_nats), speaks_as="gateway") as reader:
            yield await reader.bucket(PHRASES)


@pytest.fixture
async def voice() -> Counting:
    return Counting(Settings(scripted_ms_per_character=20, tts_first_audio_s=0.05))


@pytest.fixture
async def asker(own_nats: Server, voice: Counting) -> AsyncIterator[Bus]:
    async with (
        connect(url_for("tts-worker", own_nats), speaks_as="tts-worker") as bus,
        speaking_phrases(bus, chain_of(voice)),
        connect(url_for("gateway", own_nats), speaks_as="gateway") as asker,
    ):
        await bus.flush()
        yield asker


async def ask(asker: Bus, *texts: str, voice: str = "piper:joe", language: str = "en-US") -> Receipt:
    asked = SpeakPhrases(voice=voice, language=language, texts=list(texts))
    return await asker.ask(PHRASES_SPEAK, asked, timeout_s=15)


async def stored(bucket: KeyValue, text: str, language: str = "en-US") -> bytes | None:
    try:
        return (await bucket.get(phrase_key("piper:joe", language, text))).value
    except KeyNotFoundError:
        return None


async def test_phrases_are_stored_where_the_gateway_finds_them(
    bucket: KeyValue, asker: Bus, voice: Counting
) -> None:
    assert (await ask(asker, HELLO, BYE, HELLO, "  ")).accepted
    assert await stored(bucket, HELLO) == audible(HELLO, 20)
    assert await stored(bucket, BYE) == audible(BYE, 20)
    assert await stored(bucket, "  ") is None
    assert voice.asked == [(HELLO, False), (BYE, False)]


def test_a_phrase_is_known_by_voice_language_and_words() -> None:
    key = phrase_key("piper:joe", "en-US", HELLO)
    assert key == "23428cdc9adddb01d8e08e84c20666cb"
    others = [
        phrase_key("piper:amy", "en-US", HELLO),
        phrase_key("piper:joe", "en-GB", HELLO),
        phrase_key("piper:joe", "en-US", BYE),
    ]
    assert len({key, *others}) == 4


async def test_what_is_there_is_not_spoken_again(bucket: KeyValue, asker: Bus, voice: Counting) -> None:
    await asyncio.gather(*[ask(asker, HELLO) for _ in range(3)])
    assert voice.asked == [(HELLO, False)]
    await ask(asker, HELLO, language="en-GB")
    assert len(voice.asked) == 2
    assert await stored(bucket, HELLO, "en-GB") == audible(HELLO, 20)


async def test_one_at_a_time(bucket: KeyValue, asker: Bus, voice: Counting) -> None:
    await asyncio.gather(*[ask(asker, f"Number {n}.", f"And number {n}.") for n in range(5)])
    assert (len(voice.asked), voice.most_at_once) == (10, 1)


@pytest.mark.parametrize("wished", ["piper:amy", "elevenlabs:emma", "scripted:", ""])
async def test_another_voice_is_never_stored_under_this_name(
    bucket: KeyValue, asker: Bus, voice: Counting, wished: str
) -> None:
    with pytest.raises(Refused, match="voice_unavailable"):
        await ask(asker, HELLO, voice=wished)
    voice.voices = ()
    with pytest.raises(Refused, match="voice_unavailable"):
        await ask(asker, HELLO)
    assert voice.asked == []


async def test_what_a_fallback_voice_would_say_is_not_stored(
    bucket: KeyValue, own_nats: Server, voice: Counting
) -> None:
    chain = chain_of(elevenlabs=Failing(Settings()), piper=voice)
    async with connect(url_for("tts-worker", own_nats), speaks_as="tts-worker") as bus:
        asked = SpeakPhrases(voice="elevenlabs:emma", language="en-US", texts=[HELLO])
        with pytest.raises(Refused, match="not_spoken"):
            await PhraseSpeaker(bus, chain).speak(asked)
    assert voice.asked == []
    with pytest.raises(KeyNotFoundError):
        await bucket.get(phrase_key("elevenlabs:emma", "en-US", HELLO))


async def test_what_is_too_long_is_refused(
    bucket: KeyValue, asker: Bus, voice: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="text_too_long"):
        await ask(asker, "a" * 1001)
    assert voice.asked == []
    text = "a" * 1000
    assert (await ask(asker, text)).accepted
    assert await stored(bucket, text)
    monkeypatch.setattr(phrases, "MAX_AUDIO_BYTES", 3000)
    with pytest.raises(Refused, match="not_spoken"):
        await ask(asker, HELLO, "Yes.")
    assert await stored(bucket, HELLO) is None
    assert await stored(bucket, "Yes.")


async def test_the_longest_audio_is_one_message(bucket: KeyValue, own_nats: Server) -> None:
    text = "a" * 1000
    slow = Counting(Settings(scripted_ms_per_character=phrases.MAX_AUDIO_BYTES // 8 // len(text)))
    async with connect(url_for("tts-worker", own_nats), speaks_as="tts-worker") as bus:
        speaker = PhraseSpeaker(bus, chain_of(slow))
        asked = SpeakPhrases(voice="piper:joe", language="en-US", texts=[text])
        assert (await speaker.speak(asked)).accepted
    assert len(await stored(bucket, text) or b"") > 890_000


async def test_what_never_fits_is_spoken_once(
    bucket: KeyValue, asker: Bus, voice: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gateways ask again every minute, and it costs two minutes of the voice to find out."""
    monkeypatch.setattr(phrases, "MAX_AUDIO_BYTES", 3000)
    monkeypatch.setattr(phrases, "REMEMBERED", 2)
    other = "And this is much too long as well."
    for _ in range(3):
        with pytest.raises(Refused, match="not_spoken"):
            await ask(asker, HELLO, other)
    assert voice.asked == [(HELLO, False), (other, False)]
    with pytest.raises(Refused, match="not_spoken"):
        await ask(asker, "Another long sentence.", HELLO)
    assert len(voice.asked) == 4


async def test_one_that_cannot_be_spoken_does_not_cost_the_others(bucket: KeyValue, asker: Bus) -> None:
    with pytest.raises(Refused, match="not_spoken"):
        await ask(asker, "[[tts:fail]]", "[[tts:break]] this", HELLO)
    assert await stored(bucket, HELLO)
    assert await stored(bucket, "[[tts:break]] this") is None


async def test_what_takes_long_goes_on_without_its_asker(
    bucket: KeyValue, asker: Bus, voice: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phrases, "ANSWER_WITHIN_S", 0.05)
    voice.may_speak.clear()
    assert (await ask(asker, HELLO)).accepted is False
    voice.may_speak.set()
    async with asyncio.timeout(10):
        while await stored(bucket, HELLO) is None:
            await asyncio.sleep(0.02)


async def test_without_the_bucket_nothing_is_spoken(asker: Bus, voice: Counting) -> None:
    with pytest.raises(Refused, match="unavailable"):
        await ask(asker, HELLO, BYE)
    assert voice.asked == []
