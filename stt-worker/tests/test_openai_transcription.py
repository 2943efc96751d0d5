"""What is sent to a transcription server, and what is made of what it says."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.schemas.text_audio import TONE, audible
from callbot.stt_worker.providers import openai_transcription
from callbot.stt_worker.providers.openai_transcription import OpenAIOptions, OpenAIRecognizer
from callbot.stt_worker.recognizer import Utterance
from callbot.stt_worker.settings import Settings
from tests.vendors.openai_transcription import OpenAITranscription, PcmOnly, Whisper

Open = Callable[[OpenAITranscription], AbstractAsyncContextManager[OpenAIRecognizer]]
SPEECH = audible("a table for four")
HINTS = ("Miller", "Blue Duck")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Open:
    @asynccontextmanager
    async def opened(server: OpenAITranscription, **environment: str) -> AsyncIterator[OpenAIRecognizer]:
        async with server:
            for name, value in {**server.environment, **environment}.items():
                monkeypatch.setenv(name, value)
            async with OpenAIRecognizer.open(Settings()) as recognizer:
                yield recognizer
        assert server.complaints == []

    return opened


async def test_what_is_sent_to_openai(at: Open) -> None:
    server = OpenAITranscription()
    async with at(server) as recognizer:
        await recognizer.transcribe(Utterance(SPEECH, "pt-BR", HINTS))
    assert server.asked == [
        {
            "model": ["gpt-transcribe"],
            "language": ["pt"],
            "response_format": ["json"],
            "keywords[]": list(HINTS),
            "file": ["7"],
        }
    ]


async def test_what_is_sent_to_a_whisper_of_ones_own(at: Open) -> None:
    server = Whisper()
    async with at(server) as recognizer:
        await recognizer.transcribe(Utterance(SPEECH, "en-US", HINTS))
    [asked] = server.asked
    assert (asked["prompt"], asked["response_format"]) == (["Miller, Blue Duck"], ["verbose_json"])


async def test_a_server_without_mulaw_is_asked_with_it_once(at: Open) -> None:
    server = PcmOnly()
    async with at(server) as recognizer:
        for _ in range(3):
            assert await recognizer.transcribe(Utterance(SPEECH)) == "a table for four"
    assert [asked["file"] for asked in server.asked] == [["7"], ["1"], ["1"], ["1"]]


async def test_silence_is_not_even_sent(at: Open) -> None:
    server = OpenAITranscription()
    async with at(server) as recognizer:
        assert await recognizer.transcribe(Utterance(b"\xff" * 8000)) == ""
        assert await recognizer.transcribe(Utterance(b"")) == ""
    assert server.begun == 0


@pytest.mark.parametrize("make", [OpenAITranscription, Whisper])
async def test_what_it_makes_of_a_hum_is_not_believed(
    at: Open, make: Callable[[], OpenAITranscription]
) -> None:
    server = make()
    async with at(server) as recognizer:
        assert await recognizer.transcribe(Utterance(TONE * 900)) == ""
    assert server.begun == 1


async def test_an_answer_without_an_end_is_none(at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at(OpenAITranscription()) as recognizer:
        monkeypatch.setattr(openai_transcription, "LONGEST_ANSWER_BYTES", 10)
        with pytest.raises(ProviderError, match="malformed"):
            await recognizer.transcribe(Utterance(SPEECH))


def test_halves_of_characters_are_left_out() -> None:
    """JSON can have them, and no message that would tell the words."""
    half = json.loads(r'{"text": "at seven \ud83d"}')
    assert openai_transcription._words(half, Utterance(SPEECH)).strip() == "at seven"


async def test_words_that_it_doubts_are_not_believed(at: Open) -> None:
    server = Whisper()
    async with at(server) as recognizer:
        server.scores = (-1.2, 0.7)
        assert await recognizer.transcribe(Utterance(SPEECH)) == ""
        server.scores = (-1.2, 0.2)
        assert await recognizer.transcribe(Utterance(SPEECH)) == "a table for four"


async def test_a_connection_that_died_while_it_was_kept_is_replaced(at: Open) -> None:
    server = OpenAITranscription()
    async with at(server) as recognizer:
        await recognizer.transcribe(Utterance(SPEECH))
        await server.restart()
        assert await recognizer.transcribe(Utterance(SPEECH)) == "a table for four"
    assert server.begun == 2


async def test_a_connection_that_dies_as_it_is_used_again_is_replaced(at: Open) -> None:
    server = OpenAITranscription()
    async with at(server) as recognizer:
        server.forgets_kept = True
        for _ in range(2):
            assert await recognizer.transcribe(Utterance(SPEECH)) == "a table for four"
    assert server.begun == 3


async def test_a_connection_is_there_when_the_first_utterance_comes(at: Open) -> None:
    server = OpenAITranscription()
    async with at(server) as recognizer:
        await recognizer.warm()
        await recognizer.transcribe(Utterance(SPEECH))
        await recognizer.transcribe(Utterance(SPEECH))
    assert len(server.connections) == 1


async def test_warming_raises_nothing(at: Open) -> None:
    server = OpenAITranscription()
    async with at(server) as recognizer:
        await server.stop()
        await recognizer.warm()
        with pytest.raises(ProviderError, match="unavailable"):
            await recognizer.transcribe(Utterance(SPEECH))


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"OPENAI_API_KEY": "k"}, "CALLBOT_OPENAI_STT_MODEL is not set"),
        ({"CALLBOT_OPENAI_STT_MODEL": "gpt-transcribe"}, "OPENAI_API_KEY is not set"),
        ({"CALLBOT_OPENAI_STT_MODEL": "w", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, ""),
        ({"CALLBOT_OPENAI_STT_MODEL": "w", "CALLBOT_OPENAI_STT_BASE_URL": "http://127.0.0.1:9/v1"}, ""),
    ],
)
async def test_when_it_can_be_used(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], told: str
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if told:
        with pytest.raises(SettingsError, match=told):
            async with OpenAIRecognizer.open(Settings()):
                pass
    else:
        async with OpenAIRecognizer.open(Settings()) as recognizer:
            assert recognizer.working


async def test_its_own_server_may_be_another_than_that_of_the_language_model(
    at: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Whisper()
    async with server:
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        monkeypatch.setenv("CALLBOT_OPENAI_STT_BASE_URL", server.environment["OPENAI_BASE_URL"])
        monkeypatch.setenv("CALLBOT_OPENAI_STT_API_KEY", server.environment["OPENAI_API_KEY"])
        monkeypatch.setenv("CALLBOT_OPENAI_STT_MODEL", server.environment["CALLBOT_OPENAI_STT_MODEL"])
        async with OpenAIRecognizer.open(Settings()) as recognizer:
            assert await recognizer.transcribe(Utterance(SPEECH)) == "a table for four"


def test_the_key_is_in_no_text_of_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    options = OpenAIOptions()
    assert "sk-secret" not in f"{options!r} {options} {options.model_dump()}"
