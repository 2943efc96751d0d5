import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from callbot.runtime.errors import ProviderError, SettingsError
from callbot.schemas.text_audio import audible
from callbot.stt_worker.providers import circles
from callbot.stt_worker.providers.local import Hypothesis, LocalRecognizer, split_at_pauses
from callbot.stt_worker.providers.scripted import ScriptedRecognizer
from callbot.stt_worker.recognition import LocalGuards, open_recognition
from callbot.stt_worker.recognizer import Doubted, Recognizer, Utterance
from callbot.stt_worker.settings import Settings


@pytest.fixture(scope="module")
async def local() -> AsyncIterator[Recognizer]:
    async with LocalRecognizer.open(Settings()) as recognizer:
        yield recognizer


def words(text: str) -> list[str]:
    spelled = text.lower().replace("4", "four").replace("7", "seven")
    return re.sub(r"[^a-z0-9' ]", " ", spelled).split()


def errors(said: list[str], heard: list[str]) -> int:
    """Levenshtein's distance in words."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        above, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (word != other)))
    return row[-1]


@pytest.mark.parametrize(("lead_ms", "trail_ms"), [(300, 100), (500, 500)])
async def test_local_understands_the_phone(
    local: Recognizer, spoken: dict[str, bytes], lead_ms: int, trail_ms: int
) -> None:
    wrong = total = 0
    for text, audio in spoken.items():
        padded = b"\xff" * (8 * lead_ms) + audio + b"\xff" * (8 * trail_ms)
        wrong += errors(words(text), words(await local.transcribe(Utterance(padded))))
        total += len(words(text))
    assert wrong / total < 0.15


async def test_local_hears_the_end_of_a_long_speech(local: Recognizer, spoken: dict[str, bytes]) -> None:
    first, second, third, last, *_ = spoken.values()
    pause = b"\xff" * 4000
    speech = pause.join([first, second, third] * 6 + [last])
    assert len(speech) > 30 * 8000
    heard = words(await local.transcribe(Utterance(speech)))
    assert heard[-2:] == ["thank", "you"]
    assert heard.count("miller") >= 5


@pytest.mark.parametrize("kind", ["nothing", "hiss", "hum", "clicks", "tone"])
@pytest.mark.parametrize("seconds", [1, 3])
async def test_local_invents_nothing(local: Recognizer, kind: str, seconds: int) -> None:
    n = seconds * 8000
    at = np.arange(n)
    byte = {
        "nothing": np.full(n, 0xFF),
        "hiss": np.random.default_rng(3).choice([*range(0x60, 0x80), *range(0xE0, 0x100)], n),
        "hum": np.where(at % 160 < 80, 0xC0, 0x40),
        "clicks": np.where(at % 4000 < 20, 0x90, 0xFF),
        "tone": np.where(at % 8 < 4, 0xB0, 0x30),
    }[kind]
    assert await local.transcribe(Utterance(byte.astype(np.uint8).tobytes())) == ""


async def test_local_takes_almost_nothing_at_all(local: Recognizer) -> None:
    assert await local.transcribe(Utterance(b"\xff" * 80)) == ""


async def test_local_says_how_many_more_it_would_begin(local: Recognizer, spoken: dict[str, bytes]) -> None:
    assert local.free_decoders == 2
    audio = Utterance(next(iter(spoken.values())))
    decoding = [asyncio.create_task(local.transcribe(audio)) for _ in range(2)]
    await asyncio.sleep(0)
    assert local.free_decoders == 0
    # Whoever gives up frees a thread only when it is through.
    decoding[0].cancel()
    await asyncio.gather(decoding[0], return_exceptions=True)
    assert local.free_decoders < 2
    assert await decoding[1]
    while local.free_decoders < 2:
        await asyncio.sleep(0.01)


async def test_local_takes_hints(local: Recognizer, say: Callable[[list[str]], list[bytes]]) -> None:
    [audio] = say(["My name is Siobhan Kowalczyk."])
    hinted = Utterance(b"\xff" * 2400 + audio + b"\xff" * 800, hints=("Siobhan Kowalczyk",))
    assert "Kowalczyk" in await local.transcribe(hinted)


def test_long_audio_is_cut_where_it_is_quietest() -> None:
    speech = np.ones(50 * 8000, np.float32)
    speech[25 * 8000 : 25 * 8000 + 1600] = 0
    first, rest = split_at_pauses(speech)
    assert 25 * 8000 <= len(first) <= 25 * 8000 + 1600
    assert len(first) + len(rest) == len(speech)


@pytest.mark.parametrize(
    ("tokens", "times", "once"),
    [
        ((), 1, ()),
        ((1, 2, 3), 1, (1, 2, 3)),
        ((1, 2, 2), 1, (1, 2, 2)),
        ((5, 1, 2, 1, 2), 2, (5, 1, 2, 1, 2)),
        ((5, 1, 2, 1, 2, 1, 2), 3, (5, 1, 2)),
        ((9, 7, 7, 7, 7), 4, (9, 7)),
    ],
)
def test_circles(tokens: tuple[int, ...], times: int, once: tuple[int, ...]) -> None:
    assert circles.repeats(tokens) == times
    assert circles.once(tokens) == once


async def test_scripted_reads_what_the_audio_carries() -> None:
    async with ScriptedRecognizer.open(Settings()) as scripted:
        audio = b"\xff" * 500 + audible("a table") + b"\xff" * 900 + audible("für vier") + b"\xff" * 10
        assert await scripted.transcribe(Utterance(audio)) == "a table für vier"
        assert await scripted.transcribe(Utterance(b"\xff" * 8000)) == ""


async def test_an_unknown_provider_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="installed: deepgram, google, local, openai, scripted"):
        async with open_recognition(Settings(stt="vosk"), LocalGuards()):
            pass


async def test_local_leaves_a_language_that_its_model_does_not_know_to_others(local: Recognizer) -> None:
    with pytest.raises(ProviderError, match="language_unknown"):
        await local.transcribe(Utterance(b"\xff" * 8000, "fr-FR"))


async def test_the_start_says_that_the_packaged_model_knows_english_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", "callbot.stt_worker.providers.local"):
        async with LocalRecognizer.open(Settings()):
            pass
    (line,) = [r for r in caplog.records if r.message == "speech model"]
    assert "English only" in line.__dict__["languages"]


async def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        async with LocalRecognizer.open(Settings(stt_model=tmp_path)):
            pass


@pytest.mark.parametrize(
    ("text", "anew"),
    [
        ("can we sit outside if the weather is good can we sit outside if the", True),
        ("yes that would be great yes that would be great", True),
        ("no no no", False),
        ("yes please yes please", False),
        ("is it good is it", False),
        ("", False),
        ("my name is anna my name is anna", True),
    ],
)
def test_a_decode_that_begins_anew_is_doubtful(text: str, anew: bool) -> None:
    assert circles.begins_anew(text.split()) is anew


@pytest.mark.parametrize(
    ("text", "score", "doubted"),
    [
        ("And make them.", -0.9, True),
        ("Hold on.", -0.3, False),
        ("Maybe.", -0.9, False),
        ("Amen.", -1.1, True),
    ],
)
def test_words_found_in_a_hum_are_hardly_believed(text: str, score: float, doubted: bool) -> None:
    assert Hypothesis(text, score, no_speech=0.3, tokens=(1, 2), cut=False).hardly_believed is doubted


async def test_short_answers_are_understood(
    local: Recognizer, say: Callable[[list[str]], list[bytes]]
) -> None:
    said = ["Hold on.", "Not that.", "Thank you.", "Never mind.", "Who is this?"]
    heard = [await local.transcribe(Utterance(b"\xff" * 2400 + audio[:9600])) for audio in say(said)]
    assert not any(isinstance(text, Doubted) for text in heard)
    assert [words(text) for text in heard] == [words(text) for text in said]
