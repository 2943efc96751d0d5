"""The adapter against a server that follows Deepgram's protocol. The shared suite has all vendors' days."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.schemas.audio import FRAME_BYTES
from callbot.schemas.text_audio import audible
from callbot.stt_worker.providers.deepgram import DeepgramRecognizer
from callbot.stt_worker.recognizer import SpeechStream
from callbot.stt_worker.settings import Settings
from tests.vendors.deepgram_stt import DeepgramFlux, DeepgramNova, DeepgramServer
from tests.vendors.stt_vendor import Day

BOTH = pytest.mark.parametrize("kind", [DeepgramNova, DeepgramFlux])


def quiet(ms: int) -> bytes:
    return b"\xff" * (8 * ms)


def ms_of(audio: bytes) -> int:
    return len(audio) // 8


def spoken(text: str, ms_per_character: int = 10) -> bytes:
    """Whole frames."""
    audio = audible(text, ms_per_character)
    return audio + b"\xff" * (-len(audio) % FRAME_BYTES)


@pytest.fixture
def set_env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("DEEPGRAM_API_KEY", "DEEPGRAM_BASE_URL", "CALLBOT_DEEPGRAM_STT_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CALLBOT_DEEPGRAM_STT_FINALIZE_AFTER_MS", "0")
    monkeypatch.setenv("CALLBOT_DEEPGRAM_STT_PATIENCE_MS", "50")
    return monkeypatch


@asynccontextmanager
async def streaming(
    server: DeepgramServer, env: pytest.MonkeyPatch, language: str = "en-US"
) -> AsyncIterator[SpeechStream]:
    for name, value in server.environment.items():
        env.setenv(name, value)
    async with (
        DeepgramRecognizer.open(Settings()) as recognizer,
        recognizer.stream(language, ["Miller"]) as s,
    ):
        yield s


async def live(stream: SpeechStream, audio: bytes, from_ms: int = 0) -> None:
    """Frame by frame, in real time."""
    begun_s = time.monotonic()
    for at in range(0, len(audio), FRAME_BYTES):
        due_s = begun_s + at / 8000
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        stream.hear(from_ms + at // 8, audio[at : at + FRAME_BYTES])


@BOTH
async def test_no_word_of_a_conversation_is_lost(
    kind: type[DeepgramServer], set_env: pytest.MonkeyPatch
) -> None:
    """Utterances with pauses in them; words are wanted at each pause, as the ears do."""
    utterances = [("I would like", "a table for four"), ("my name is Anna Miller",), ("no", "that is", "all")]
    async with kind() as server, streaming(server, set_env) as stream:
        at_ms = 7000
        for parts in utterances:
            stream.hear(at_ms, quiet(300))
            from_ms, at_ms = at_ms, at_ms + 300
            for number in range(len(parts)):
                speech = spoken(parts[number]) + quiet(80)
                stream.hear(at_ms, speech)
                at_ms += ms_of(speech)
                assert await stream.words(from_ms, at_ms) == " ".join(parts[: number + 1])
            assert stream.so_far(from_ms) == " ".join(parts)
            assert await stream.words(from_ms, from_ms + 300) == ""
        assert server.complaints == []


@BOTH
async def test_speech_that_goes_on_for_long_is_settled_piece_by_piece(
    kind: type[DeepgramServer], set_env: pytest.MonkeyPatch
) -> None:
    """Nova freezes a stretch every three seconds: the last result alone would have lost the beginning."""
    text = " ".join(f"word{n}" for n in range(60))
    async with kind(ms_per_character=15) as server, streaming(server, set_env) as stream:
        audio = quiet(100) + spoken(text, 15) + quiet(80)
        stream.hear(0, audio)
        assert ms_of(audio) > 6000
        assert await stream.words(0, ms_of(audio)) == text
        assert server.complaints == []


@BOTH
async def test_a_replay_is_paced_and_what_follows_it_is_not(
    kind: type[DeepgramServer], set_env: pytest.MonkeyPatch
) -> None:
    async with kind() as server, streaming(server, set_env) as stream:
        audio = quiet(300) + spoken("a table for four") + quiet(3000) + spoken("please") + quiet(100)
        stream.hear(50_000, audio)
        begun_s = time.monotonic()
        assert await stream.words(50_000, 50_000 + ms_of(audio)) == "a table for four please"
        assert time.monotonic() - begun_s >= ms_of(audio) / 1250 - 0.5 - 0.05
        assert server.complaints == []


async def test_nova_is_asked_once_for_one_place(set_env: pytest.MonkeyPatch) -> None:
    async with DeepgramNova() as server, streaming(server, set_env) as stream:
        audio = quiet(200) + spoken("a table for four") + quiet(64)
        stream.hear(0, audio)
        wanted = [stream.words(0, ms_of(audio)) for _ in range(3)]
        assert await asyncio.gather(*wanted) == ["a table for four"] * 3
        assert await stream.words(0, ms_of(audio)) == "a table for four"
        assert server.messages["Finalize"] == 1


async def test_nova_is_not_asked_for_what_its_endpointing_has_settled(set_env: pytest.MonkeyPatch) -> None:
    set_env.setenv("CALLBOT_DEEPGRAM_STT_FINALIZE_AFTER_MS", "1000")
    async with DeepgramNova() as server, streaming(server, set_env) as stream:
        audio = quiet(200) + spoken("a table for four") + quiet(320)
        stream.hear(0, audio)
        assert await stream.words(0, ms_of(audio) - 200) == "a table for four"
        assert server.messages["Finalize"] == 0


async def test_nova_is_not_asked_when_the_caller_goes_on_at_once(set_env: pytest.MonkeyPatch) -> None:
    """A stop consonant: the words are no longer wanted before Nova would have cut the word."""
    set_env.setenv("CALLBOT_DEEPGRAM_STT_FINALIZE_AFTER_MS", "1000")
    async with DeepgramNova() as server, streaming(server, set_env) as stream:
        stream.hear(0, spoken("a table") + quiet(64))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.words(0, 100), 0.1)
        assert server.messages["Finalize"] == 0


async def test_nova_a_finalize_without_an_answer_is_not_waited_for(set_env: pytest.MonkeyPatch) -> None:
    """Its makers: the answer is not guaranteed if there is no significant amount of audio."""
    async with DeepgramNova() as server, streaming(server, set_env) as stream:
        audio = quiet(200) + spoken("yes") + quiet(64)
        stream.hear(0, audio)
        assert await stream.words(0, ms_of(audio)) == "yes"
        stream.hear(ms_of(audio), quiet(40))
        set_env.setattr("tests.vendors.deepgram_nova.SIGNIFICANT", 10**6)
        stream.hear(ms_of(audio) + 40, quiet(60))
        async with asyncio.timeout(5):
            assert await stream.words(0, ms_of(audio) + 100) == "yes"
        assert server.messages["Finalize"] == 2


async def test_nova_is_told_that_we_are_still_there(set_env: pytest.MonkeyPatch) -> None:
    set_env.setenv("CALLBOT_DEEPGRAM_STT_IDLE_S", "0.2")
    async with DeepgramNova(patience_s=0.6) as server, streaming(server, set_env) as stream:
        stream.hear(0, quiet(40))
        await server.until(lambda: server.messages["KeepAlive"] >= 5)
        speech = spoken("still here") + quiet(80)
        stream.hear(40, speech)
        assert await stream.words(40, 40 + ms_of(speech)) == "still here"
        assert server.complaints == []


async def test_a_vendor_that_waits_for_nothing_is_lost(set_env: pytest.MonkeyPatch) -> None:
    async with DeepgramNova(patience_s=0.1) as server, streaming(server, set_env) as stream:
        with pytest.raises(ProviderError) as e:
            stream.hear(0, quiet(20))
            await stream.words(0, 5000)
        assert (e.value.code, e.value.message) == ("broken_off", "closed 1011 net-0001")
        for _ in range(2):
            with pytest.raises(ProviderError):
                await stream.words(0, 20)
        stream.hear(20, quiet(20))
        assert (stream.so_far(0), stream.says_over(0)) == ("", None)
        assert server.begun == 1


@BOTH
async def test_a_torn_connection_breaks_what_is_wanted_of_it(
    kind: type[DeepgramServer], set_env: pytest.MonkeyPatch
) -> None:
    async with kind() as server, streaming(server, set_env) as stream:
        stream.hear(0, spoken("a table for four"))
        wanted = asyncio.create_task(stream.words(0, 5000))
        await server.until(lambda: bool(server.sockets))
        transport = server.sockets[0]._req and server.sockets[0]._req.transport
        assert transport
        transport.abort()
        with pytest.raises(ProviderError) as e:
            await wanted
        assert (e.value.code, e.value.retryable) == ("broken_off", True)


async def test_flux_says_early_that_a_turn_is_over(set_env: pytest.MonkeyPatch) -> None:
    set_env.setenv("CALLBOT_DEEPGRAM_STT_PATIENCE_MS", "2000")
    async with DeepgramFlux() as server, streaming(server, set_env) as stream:
        speech = quiet(200) + spoken("a table for four please")
        speaking = asyncio.create_task(live(stream, speech + quiet(1000)))
        wanted_to_ms = ms_of(speech) + 64
        await asyncio.sleep(wanted_to_ms / 1000 + 0.02)
        async with asyncio.timeout(2):
            while stream.says_over(0) is None:
                await asyncio.sleep(0.005)
        assert await stream.words(0, wanted_to_ms) == "a table for four please"
        assert stream.says_over(0) is True
        assert not speaking.done()
        await speaking
        assert server.messages["ForceEndTurn"] == 0
        assert stream.says_over(0) is True


async def test_flux_says_that_a_turn_is_not_over(set_env: pytest.MonkeyPatch) -> None:
    async with DeepgramFlux() as server, streaming(server, set_env) as stream:
        speech = quiet(200) + spoken("I would like a table for")
        await live(stream, speech + quiet(600))
        assert stream.says_over(0) is False
        assert await stream.words(0, ms_of(speech) + 600) == "I would like a table for"
        assert server.messages["ForceEndTurn"] == 1
        assert stream.says_over(0) is None


async def test_flux_is_kept_with_silence_and_its_time_stays_the_calls(set_env: pytest.MonkeyPatch) -> None:
    set_env.setenv("CALLBOT_DEEPGRAM_STT_IDLE_S", "0.2")
    async with DeepgramFlux(patience_s=0.6) as server, streaming(server, set_env) as stream:
        first = spoken("are you still there") + quiet(80)
        stream.hear(0, first)
        await asyncio.sleep(1.0)
        at_ms = ms_of(first)
        second = spoken("I am") + quiet(80)
        stream.hear(at_ms, second)
        assert await stream.words(at_ms, at_ms + ms_of(second)) == "I am"
        assert await stream.words(0, at_ms) == "are you still there"
        assert (server.complaints, server.messages["KeepAlive"]) == ([], 0)


@BOTH
async def test_the_end_is_said_and_quick(kind: type[DeepgramServer], set_env: pytest.MonkeyPatch) -> None:
    before = asyncio.all_tasks()
    async with kind() as server:
        async with streaming(server, set_env) as stream:
            stream.hear(0, quiet(100))
            await stream.words(0, 20)
        await server.until(lambda: server.open_connections == 0)
        assert server.messages["CloseStream"] == 1
        assert server.complaints == []
    assert asyncio.all_tasks() <= before


@BOTH
@pytest.mark.parametrize("day", [Day.REFUSED, Day.BROKEN])
async def test_a_refusal_carries_nothing_of_what_was_sent(
    kind: type[DeepgramServer], day: Day, set_env: pytest.MonkeyPatch
) -> None:
    """aiohttp's own error holds our headers."""
    async with kind() as server:
        server.day = day
        with pytest.raises(ProviderError) as e:
            async with streaming(server, set_env):
                pass
        assert e.value.__cause__ is None
        assert e.value.__context__ is None


async def test_without_a_key_it_is_not_usable(set_env: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="DEEPGRAM_API_KEY is not set"):
        async with DeepgramRecognizer.open(Settings()):
            pass


async def test_a_language_that_it_does_not_know_is_said_without_asking(set_env: pytest.MonkeyPatch) -> None:
    async with DeepgramFlux() as server:
        with pytest.raises(ProviderError) as e:
            async with streaming(server, set_env, "sw-KE"):
                pass
        assert (e.value.code, e.value.retryable, server.begun) == ("language_unknown", False, 0)
