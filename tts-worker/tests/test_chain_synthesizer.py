"""The worker's chain of voices: order, silent switches, a sentence said again, reports for the record."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from callbot.runtime.chain import Attempt
from callbot.runtime.errors import ProviderError
from callbot.schemas.text_audio import audible
from callbot.schemas.usage import Used
from callbot.schemas.voices import VoiceInfo
from callbot.tts_worker.call_voice import LEFT_ALONE, CallVoice
from callbot.tts_worker.chain_synthesizer import PAUSE, ChainSynthesizer
from callbot.tts_worker.providers.scripted import CHUNK_BYTES, ScriptedSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice, voice_info
from callbot.tts_worker.urgency import WAITED_FOR, Urgency
from tests.tts_chain import chain_of

TEXT = "A table for four at seven."
EMMA = Voice("elevenlabs", "emma", "en-US")
WHOLE = {"elevenlabs": audible(TEXT, 40), "piper": audible(TEXT, 30)}
"""Each provider speaks at a pace of its own."""


class Moody(ScriptedSynthesizer):
    """The shipped scripted voice, with another provider's name and days."""

    def __init__(self, name: str, ms_per_character: int) -> None:
        super().__init__(Settings(scripted_ms_per_character=ms_per_character))
        self.voices: Sequence[VoiceInfo] = (voice_info(name, "emma", "en-US"),)
        self.asked: list[str] = []
        self.warmed: list[str] = []
        self.fails: list[ProviderError] = []
        """Before the first audio, one for each text; then it speaks."""
        self.breaks: list[ProviderError] = []
        self.silent = 0
        """How many texts get no answer."""
        self.closed = asyncio.Event()

    async def warm(self, voice: Voice) -> None:
        self.warmed.append(voice.name)

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        self.asked.append(voice.name)
        if self.silent:
            self.silent -= 1
            try:
                await asyncio.Event().wait()
            finally:
                self.closed.set()
        if self.fails:
            raise self.fails.pop(0)
        if voice.name not in ("", "emma"):
            raise ProviderError("unknown_voice", voice.name, retryable=False)
        async for chunk in super().speak(text, voice, urgency):
            yield chunk
            if self.breaks:
                raise self.breaks.pop(0)


def error(code: str = "unavailable", *, retryable: bool = True) -> ProviderError:
    return ProviderError(code, "on purpose", retryable=retryable)


def spoken(provider: str, times: int = 1) -> Used:
    return Used(role="tts", provider=provider, characters=times * len(TEXT))


class Two:
    def __init__(self, deadline_s: float = 20.0) -> None:
        self.elevenlabs = Moody("elevenlabs", 40)
        self.piper = Moody("piper", 30)
        self.chain = chain_of(deadline_s=deadline_s, piper=self.piper, elevenlabs=self.elevenlabs)
        self.told: list[tuple[str, str, str]] = []
        self.call = CallVoice(self.chain, EMMA, lambda *told: self.told.append(told))

    async def said(self) -> bytes:
        """In the call."""
        async with aclosing(self.call.speak(TEXT, WAITED_FOR)) as chunks:
            return b"".join([chunk async for chunk in chunks])


@pytest.fixture
async def two() -> Two:
    return Two()


async def said(chain: ChainSynthesizer, voice: Voice = EMMA, **how: bool) -> bytes:
    async with aclosing(chain.speak(TEXT, voice, **how)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_the_bots_own_voice_speaks_first_wherever_it_stands(two: Two) -> None:
    assert await two.said() == WHOLE["elevenlabs"]
    assert (two.elevenlabs.asked, two.piper.asked, two.told) == (["emma"], [], [])
    assert two.call.used() == [spoken("elevenlabs")]


async def test_a_voice_of_nobody_here_is_spoken_by_the_first_of_the_chain(two: Two) -> None:
    assert await said(two.chain, Voice("polly", "Joanna", "en-US")) == WHOLE["piper"]
    assert two.piper.asked == [""]


async def test_before_the_first_audio_a_switch_is_silent_and_told(two: Two) -> None:
    two.elevenlabs.fails = [error("refused", retryable=False)] * 2
    assert await two.said() == WHOLE["piper"]
    assert two.told == [("elevenlabs", "refused", "piper")]


async def test_a_fallback_voice_has_its_name_from_the_settings(two: Two) -> None:
    two.elevenlabs.ready = False
    links = two.chain._links
    named = ChainSynthesizer(links, last_deadline_s=20, fallback_voice="piper:emma")
    assert await said(named) == WHOLE["piper"]
    assert (two.piper.asked, two.elevenlabs.asked) == (["emma"], [])


async def test_what_breaks_is_said_again_whole_on_the_next_voice(two: Two) -> None:
    two.elevenlabs.breaks = [error()]
    assert await two.said() == WHOLE["elevenlabs"][:CHUNK_BYTES] + PAUSE + WHOLE["piper"]
    assert len(PAUSE) == 120 * 8
    assert two.told == [("elevenlabs", "unavailable", "piper")]
    assert two.call.used() == [spoken("elevenlabs"), spoken("piper")]


@pytest.mark.parametrize("again", [True, False])
async def test_a_voice_without_another_one_says_it_again_itself_once(two: Two, again: bool) -> None:
    alone = chain_of(elevenlabs=two.elevenlabs)
    two.elevenlabs.breaks = [error()] if again else [error(), error()]
    begun = WHOLE["elevenlabs"][:CHUNK_BYTES] + PAUSE
    if again:
        assert await said(alone) == begun + WHOLE["elevenlabs"]
    else:
        with pytest.raises(ProviderError, match="broken_off"):
            await said(alone)
    assert len(two.elevenlabs.asked) == 2


async def test_what_will_not_pass_is_not_tried_again_by_the_same(two: Two) -> None:
    two.elevenlabs.breaks = [error("out_of_quota", retryable=False)]
    with pytest.raises(ProviderError, match="broken_off"):
        await said(chain_of(elevenlabs=two.elevenlabs))
    assert len(two.elevenlabs.asked) == 1


async def test_what_nobody_waits_for_is_not_spliced(two: Two) -> None:
    two.elevenlabs.breaks = [error()]
    with pytest.raises(ProviderError, match="broken_off"):
        async with aclosing(two.chain.speak(TEXT, EMMA, Urgency(waited_for=False))) as chunks:
            _ = [chunk async for chunk in chunks]
    assert two.piper.asked == []


async def test_an_unknown_voice_is_replaced_by_its_providers_default_and_told_once(two: Two) -> None:
    voice = Voice("elevenlabs", "nobody", "en-US")
    call = CallVoice(two.chain, voice, lambda *told: two.told.append(told))
    for _ in range(2):
        async with aclosing(call.speak(TEXT, WAITED_FOR)) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == WHOLE["elevenlabs"]
    assert two.elevenlabs.asked == ["nobody", "", "nobody", ""]
    assert two.told == [("elevenlabs", "unknown_voice", "elevenlabs")]


@pytest.mark.parametrize("code", ["refused", "out_of_quota"])
async def test_a_voice_that_the_key_may_not_use_leaves_the_provider_to_all_others(
    two: Two, code: str
) -> None:
    for _ in range(4):
        two.elevenlabs.fails = [error(code, retryable=False)]
        assert await two.said() == WHOLE["elevenlabs"]
    assert two.told == [("elevenlabs", "voice_refused", "elevenlabs")]
    two.elevenlabs.fails = [error(code, retryable=False)]
    with pytest.raises(ProviderError, match="voice_refused"):
        await said(two.chain, alone=True)
    other = Voice("elevenlabs", "", "en-US")
    assert await said(two.chain, other) == WHOLE["elevenlabs"], "no breaker was opened"


async def test_alone_no_other_voice_speaks(two: Two) -> None:
    two.elevenlabs.fails = [error()]
    with pytest.raises(ProviderError, match="unavailable"):
        await said(two.chain, alone=True)
    with pytest.raises(ProviderError, match="unknown_voice"):
        await said(two.chain, Voice("elevenlabs", "nobody", "en-US"), alone=True)
    with pytest.raises(ProviderError, match="unknown_voice"):
        await said(two.chain, Voice("polly", "Joanna", "en-US"), alone=True)
    assert two.piper.asked == []


async def test_within_an_answer_the_voice_changes_once(two: Two) -> None:
    two.elevenlabs.fails = [error()]
    assert [await two.said() for _ in range(3)] == [WHOLE["piper"]] * 3
    assert two.told == [("elevenlabs", "unavailable", "piper")]
    two.call.next_answer()
    assert await two.said() == WHOLE["elevenlabs"]


async def test_one_that_is_left_alone_is_told_once_and_again_after_it_has_spoken(two: Two) -> None:
    two.elevenlabs.fails = [error("refused", retryable=False)] * 2
    for _ in range(3):
        two.call.next_answer()
        assert await two.said() == WHOLE["piper"]
    assert two.told == [("elevenlabs", "refused", "piper"), ("elevenlabs", LEFT_ALONE, "piper")]


async def test_when_nobody_speaks_that_is_told(two: Two) -> None:
    two.elevenlabs.fails, two.piper.fails = [error("busy")], [error()]
    with pytest.raises(ProviderError, match="all_failed"):
        await two.said()
    assert two.told == [("elevenlabs", "busy", ""), ("piper", "unavailable", "")]


async def test_one_that_says_nothing_is_replaced_at_its_deadline() -> None:
    two = Two(deadline_s=0.1)
    two.elevenlabs.silent = 1
    assert await two.said() == WHOLE["piper"]
    assert two.told == [("elevenlabs", "too_slow", "piper")]
    await two.elevenlabs.closed.wait()


async def test_what_is_asked_for_while_it_is_spoken_ahead_has_a_deadline_from_then_on() -> None:
    two = Two(deadline_s=0.1)
    two.elevenlabs.silent = 1
    urgency = Urgency(waited_for=False)
    speech = two.call.speak(TEXT, urgency)
    first = asyncio.ensure_future(anext(speech))
    await asyncio.sleep(0.2)
    assert not first.done() and two.piper.asked == []
    urgency.rise()
    async with aclosing(speech):
        assert await first + b"".join([chunk async for chunk in speech]) == WHOLE["piper"]
    assert two.told == [("elevenlabs", "too_slow", "piper")]


async def test_one_that_is_slower_than_usual_is_asked_a_second_time_by_the_same_voice(two: Two) -> None:
    guard = two.chain._link_of(EMMA).guard  # type: ignore[union-attr]
    for _ in range(20):
        guard.succeeded(10.0)
    two.elevenlabs.silent = 1
    told: list[Attempt] = []
    async with aclosing(two.chain.speak(TEXT, EMMA, told=told.append)) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == WHOLE["elevenlabs"]
    assert (two.elevenlabs.asked, two.piper.asked) == (["emma", "emma"], [])
    assert [attempt.outcome for attempt in told] == ["answered"]
    await two.elevenlabs.closed.wait()


async def test_a_hedged_voice_that_fails_is_asked_once(two: Two) -> None:
    two.elevenlabs.fails = [error(), error()]
    assert await two.said() == WHOLE["piper"]
    assert two.elevenlabs.asked == ["emma"]


async def test_the_first_two_are_warm_and_each_with_its_own_voice(two: Two) -> None:
    await two.call.warm()
    assert (two.elevenlabs.warmed, two.piper.warmed) == (["emma"], [""])


async def test_all_voices_of_all_providers_that_can_speak(two: Two) -> None:
    assert [info.voice for info in two.chain.voices] == ["piper:emma", "elevenlabs:emma"]
    two.piper.ready = False
    assert [info.voice for info in two.chain.voices] == ["elevenlabs:emma"]
    assert two.chain.ready
    two.elevenlabs.ready = False
    assert not two.chain.ready


@pytest.mark.parametrize(
    ("voice", "may"),
    [
        ("elevenlabs:emma", True),
        ("elevenlabs:unlisted", True),
        ("piper:emma", True),
        ("piper:amy", False),
        ("polly:Joanna", False),
    ],
)
async def test_which_voices_may_be_had(two: Two, voice: str, may: bool) -> None:
    assert two.chain.may_have(Voice.of_bot(voice, "en-US")) is may
