"""A call at Google: where its streams are parted, and that no word falls between them."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from callbot.runtime.errors import ProviderError
from callbot.stt_worker.providers import google_hearing
from tests.vendors.google_call import MS_PER_CHARACTER, call, spoken
from tests.vendors.google_stt import LONGEST_S, Break, GoogleSpeech, GoogleSpeechV1

Code = grpc.StatusCode
FAST = {"CALLBOT_GOOGLE_STT_SPEED": "4000"}
"""So much faster than ours time runs: nothing waits for its pace."""
NO_GUESS = {"CALLBOT_GOOGLE_STT_STABILITY": "2"}
WORDLESS = {"CALLBOT_GOOGLE_STT_MODEL": "chirp_3"}
"""A model that does not tell when each word was said."""


@pytest.fixture(params=[GoogleSpeech, GoogleSpeechV1], ids=["v2", "v1"])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[GoogleSpeech]:
    vendor = request.param()
    vendor.ms_per_character = MS_PER_CHARACTER
    async with vendor:
        yield vendor


@pytest.fixture
async def vendor() -> AsyncIterator[GoogleSpeech]:
    vendor = GoogleSpeech()
    vendor.ms_per_character = MS_PER_CHARACTER
    async with vendor:
        yield vendor


async def until(vendor: GoogleSpeech, begun: int) -> None:
    async with asyncio.timeout(10):
        while vendor.begun < begun:
            await asyncio.sleep(0.005)


async def test_an_answer_that_is_there_is_taken(both: GoogleSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    """For an interim result that is stable and covers all; the next utterance has a stream of its own."""
    async with call(both.environment, monkeypatch) as google:
        google.is_silent(200)
        google.says("one", "two")
        google.is_silent(120)
        await google.heard("two")
        assert await google.words(0) == "one two"
        assert both.begun == 1
        google.is_silent(400)
        await until(both, 2)
        from_ms = google.now_ms - 300
        google.says("three")
        google.is_silent(160)
        assert await google.words(from_ms) == "three"
    assert both.complaints == []


async def test_what_google_settles_on_its_own_parts_nothing(
    both: GoogleSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.endpoint_ms = 300
    async with call(both.environment, monkeypatch) as google:
        google.says("first")
        from_ms = 0
        for word, following in (("first", "second"), ("second", "third"), ("third", "fourth")):
            google.is_silent(600)
            to_ms = google.now_ms
            google.says(following)
            # What is told in order is there in order.
            await google.heard(following)
            assert await google.words(from_ms, to_ms) == word
            from_ms = to_ms
    assert (both.begun, both.complaints) == (1, [])


@pytest.mark.parametrize("told", [{}, WORDLESS], ids=["times", "no times"])
async def test_asked_within_a_word_it_comes_once(
    vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch, told: dict[str, str]
) -> None:
    """As the ears end an utterance that goes on and on."""
    vendor.speed = float("inf")
    words = [f"word{n:03}" for n in range(40)]
    async with call(vendor.environment, monkeypatch, FAST, told) as google:
        google.says(*words[:20], between_ms=0)
        first_to_ms = google.now_ms - 100
        first = await google.words(0, first_to_ms)
        google.says(*words[20:], between_ms=0)
        google.is_silent(200)
        second = await google.words(first_to_ms)
    heard = f"{first} {second}".split()
    if told:
        # Without times a half word cannot be told from a whole one.
        heard = [word for word in heard if not word.endswith("~")]
    assert heard == words
    assert first.split()[:18] == words[:18]


async def test_an_utterance_goes_on_after_its_pauses(
    both: GoogleSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with call(both.environment, monkeypatch) as google:
        google.is_silent(200)
        said: list[str] = []
        for word in ("I", "would", "like", "a", "table"):
            google.says(word)
            google.is_silent(140)
            said.append(word)
            assert await google.words(0) == " ".join(said)
        google.is_silent(400)
        from_ms = google.now_ms
        google.says("thanks")
        google.is_silent(200)
        assert await google.words(from_ms) == "thanks"
    assert both.complaints == []


async def test_what_was_asked_and_left_is_not_asked_for_again(
    vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ears cancel their question when the caller goes on."""
    vendor.settles_after_s = 0.3
    async with call(vendor.environment, monkeypatch, NO_GUESS) as google:
        google.says("hold")
        google.is_silent(200)
        asking = asyncio.create_task(google.words(0))
        await asyncio.sleep(0.05)
        asking.cancel()
        google.says("on")
        google.is_silent(200)
        assert await google.words(0) == "hold on"


async def test_lost_frames_are_silence(vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    async with call(vendor.environment, monkeypatch, from_ms=7000) as google:
        google.says("before")
        google.loses(400)
        google.says("after")
        google.is_silent(200)
        assert await google.words(7000) == "before after"
    assert sum(stream.silence_ms for stream in vendor.streams) >= 600


async def test_silence_keeps_a_stream_alive(vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.patience_s = 0.3
    monkeypatch.setattr(google_hearing, "KEEP_ALIVE_S", 0.05)
    async with call(vendor.environment, monkeypatch) as google:
        google.says("first")
        await google.heard("first")
        await asyncio.sleep(0.8)
        google.says("second")
        google.is_silent(200)
        assert await google.words(0) == "first second"
        assert vendor.streams[0].silence_ms > 600
    assert vendor.complaints == []


async def test_a_replay_comes_at_about_real_time(
    vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty times faster here; more than that is "too fast" for the server."""
    vendor.speed = 20
    words = [f"word{n:03}" for n in range(70)]
    async with call(vendor.environment, monkeypatch) as google:
        google.says(*words)
        google.is_silent(200)
        assert (await google.words(0)).split() == words
    assert vendor.complaints == []


@pytest.mark.parametrize("told", [{}, WORDLESS], ids=["times", "no times"])
async def test_speech_without_end_is_parted_before_google_does_it(
    vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch, told: dict[str, str]
) -> None:
    """Neither a pause nor a final result in eleven minutes: both streams hear the words where they meet."""
    vendor.speed, vendor.longest_speech_ms = float("inf"), 10**9
    words = [f"word{n:04}" for n in range(2400)]
    async with call(vendor.environment, monkeypatch, FAST, told, frame_ms=100) as google:
        for at in range(0, len(words), 20):
            google.says(*words[at : at + 20], between_ms=0)
            await google.heard(words[at + 18])
        google.is_silent(200)
        heard = (await google.words(0)).split()
    assert [word for word in heard if not told or not word.endswith("~")] == words
    assert vendor.complaints == []
    assert [s.ms >= 240_000 for s in vendor.streams].count(True) == 2
    assert max(s.ms for s in vendor.streams) <= LONGEST_S * 1000


@pytest.mark.parametrize("code", [Code.OUT_OF_RANGE, Code.ABORTED, Code.UNAVAILABLE])
async def test_a_stream_that_google_ends_is_gone_on_with(
    both: GoogleSpeech, monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode
) -> None:
    both.breaks.append(Break(900, code))
    async with call(both.environment, monkeypatch) as google:
        google.says("one", "two", "three")
        await google.heard("three")
        google.says("four", "five", "six")
        google.is_silent(200)
        assert await google.words(0) == "one two three four five six"
    assert both.complaints == []


async def test_who_ends_every_stream_is_broken(vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.breaks.extend([Break(100, Code.OUT_OF_RANGE)] * 9)
    async with call(vendor.environment, monkeypatch) as google:
        google.is_silent(100)
        google.says("one", "two")
        for _ in range(2):
            with pytest.raises(ProviderError) as caught:
                await google.words(0)
            assert (caught.value.code, caught.value.retryable) == ("broken_off", True)
        assert vendor.begun == 2


async def test_audio_that_it_calls_too_fast_is_not_sent_for_ever(
    vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with call(vendor.environment, monkeypatch, FAST) as google:
        google.says(*["word"] * 60)
        with pytest.raises(ProviderError) as caught:
            await google.words(0)
        assert (caught.value.code, caught.value.retryable) == ("broken_off", True)
    assert vendor.begun <= 3


async def test_the_reason_is_known_although_audio_goes_on(
    vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """grpc.aio forgets the status where a write fails after it."""
    vendor.speed = float("inf")
    for _ in range(20):
        vendor.breaks.append(Break(100, Code.PERMISSION_DENIED))
        async with call(vendor.environment, monkeypatch, FAST) as google:
            google.says(*["word"] * 60)
            with pytest.raises(ProviderError) as caught:
                await google.words(0)
            assert (caught.value.code, caught.value.retryable) == ("refused", False)


async def test_what_a_model_does_not_take_is_left_out(
    both: GoogleSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.takes_no = frozenset({"config.adaptation"})
    told = {"CALLBOT_GOOGLE_STT_MODEL": "latest_long"}
    async with call(both.environment, monkeypatch, told, hints=("Chirac", "Chirac", "")) as google:
        google.says("one")
        google.is_silent(200)
        assert await google.words(0) == "one"
    assert [s.asked.hints if s.asked else None for s in both.streams[:2]] == [None, ()]


async def test_hints_go_to_a_model_that_takes_them(
    both: GoogleSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"CALLBOT_GOOGLE_STT_MODEL": "latest_long"}
    async with call(both.environment, monkeypatch, told, hints=("Chirac", "", "x" * 101)) as google:
        google.is_silent(100)
        await google.words(0)
        await until(both, 1)
        async with asyncio.timeout(10):
            while (asked := both.streams[0].asked) is None:
                await asyncio.sleep(0.005)
    assert (asked.hints, asked.language) == (("Chirac",), "en-US")


async def test_a_stream_that_does_not_settle_is_given_up(
    vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.settles_after_s = 60
    monkeypatch.setattr(google_hearing, "SETTLE_S", 0.1)
    async with call(vendor.environment, monkeypatch, NO_GUESS) as google:
        google.says("one")
        google.is_silent(200)
        with pytest.raises(ProviderError) as caught:
            await google.words(0)
        assert (caught.value.code, caught.value.retryable) == ("too_slow", True)


async def test_what_is_stable_and_what_may_change_are_one_text(
    both: GoogleSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_hearing, "KEEP_ALIVE_S", 60)
    async with call(both.environment, monkeypatch) as google:
        google.says("one", "two")
        google.hears(spoken("three")[:800])
        await google.heard("three")
        assert google.stream.so_far(0) == "one two three"


async def test_silence_is_no_opinion(vendor: GoogleSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    async with call(vendor.environment, monkeypatch) as google:
        google.says("one")
        google.is_silent(2000)
        await google.heard("one")
        assert google.stream.says_over(0) is None
