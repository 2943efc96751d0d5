"""What a text costs: once for each request that a vendor was given, also for those that nobody heard."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from callbot.runtime.chain import Link
from callbot.runtime.errors import ProviderError
from callbot.runtime.guard import LocalGuard
from callbot.schemas.usage import Used
from callbot.tts_worker import counted_speech
from callbot.tts_worker.chain_synthesizer import ChainSynthesizer
from callbot.tts_worker.counted_speech import counted
from callbot.tts_worker.providers.scripted import CHUNK_BYTES, ScriptedSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from callbot.tts_worker.urgency import WAITED_FOR, Urgency
from tests.tts_chain import chain_of

TEXT = "A table for four at seven."
EMMA = Voice("elevenlabs", "emma", "en-US")


def spoken(times: int = 1, provider: str = "elevenlabs", model: str = "flash") -> Used:
    return Used(role="tts", provider=provider, model=model, characters=times * len(TEXT))


class Priced(ScriptedSynthesizer):
    """The shipped scripted voice, with a model, and errors before its first audio."""

    def __init__(self, *errors: ProviderError, silent: int = 0) -> None:
        super().__init__(Settings(scripted_ms_per_character=20))
        self.errors = list(errors)
        self.silent = silent
        """So many of the first requests get no audio."""
        self.asked = asyncio.Event()

    def model_of(self, voice: Voice) -> str:
        return "flash"

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        self.asked.set()
        if self.silent:
            self.silent -= 1
            await asyncio.Event().wait()
        if self.errors:
            raise self.errors.pop(0)
        async for chunk in super().speak(text, voice, urgency):
            yield chunk


def error(code: str) -> ProviderError:
    return ProviderError(code, "for this test", retryable=True)


@pytest.mark.parametrize(
    ("code", "costs"), [("refused", False), ("unavailable", False), ("too_slow", True), ("timeout", True)]
)
async def test_without_audio_only_what_was_waited_for_too_briefly_costs(code: str, costs: bool) -> None:
    used: list[Used] = []
    with pytest.raises(ProviderError, match=code):
        async with aclosing(counted(Priced(error(code)), TEXT, EMMA, WAITED_FOR, used.append)) as chunks:
            _ = [chunk async for chunk in chunks]
    assert used == ([spoken()] if costs else [])


async def test_it_is_told_at_the_first_audio_and_once() -> None:
    used: list[Used] = []
    async with aclosing(counted(Priced(), TEXT, EMMA, WAITED_FOR, used.append)) as chunks:
        async for _ in chunks:
            assert used == [spoken()]
    assert used == [spoken()]


async def test_a_request_that_is_given_up_costs_and_one_that_was_not_begun_does_not() -> None:
    used: list[Used] = []
    voice = Priced(silent=1)
    chunks = counted(voice, TEXT, EMMA, WAITED_FOR, used.append)
    first = asyncio.ensure_future(anext(chunks))
    await voice.asked.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert used == [spoken()]
    await counted(voice, TEXT, EMMA, WAITED_FOR, used.append).aclose()
    assert used == [spoken()]


async def test_a_text_does_not_last_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_speech, "LONGEST_BYTES", CHUNK_BYTES)
    used: list[Used] = []
    heard = bytearray()
    with pytest.raises(ProviderError, match="wrong_audio"):
        async with aclosing(counted(Priced(), TEXT, EMMA, WAITED_FOR, used.append)) as chunks:
            async for chunk in chunks:
                heard += chunk
    assert len(heard) == CHUNK_BYTES and used == [spoken()]


async def said(chain: ChainSynthesizer, **how: bool) -> list[Used]:
    used: list[Used] = []
    async with aclosing(chain.speak(TEXT, EMMA, tell_used=used.append, **how)) as chunks:
        _ = [chunk async for chunk in chunks]
    return used


async def test_a_hedged_request_costs_twice() -> None:
    guard = LocalGuard("elevenlabs")
    for _ in range(30):
        guard.succeeded(10)
    link = Link("elevenlabs", Priced(silent=1), guard, deadline_s=20, stall_s=20)
    assert await said(ChainSynthesizer([link], last_deadline_s=20)) == [spoken(), spoken()]


async def test_each_of_a_chain_is_paid_for_what_it_was_given() -> None:
    chain = chain_of(elevenlabs=Priced(error("unavailable")), piper=Priced())
    assert await said(chain) == [spoken(provider="piper")]
    late = chain_of(deadline_s=0.05, elevenlabs=Priced(silent=1), piper=Priced())
    assert sorted(one.provider for one in await said(late)) == ["elevenlabs", "piper"]


async def test_a_phrase_spoken_ahead_costs_too() -> None:
    assert await said(chain_of(elevenlabs=Priced()), alone=True) == [spoken()]
