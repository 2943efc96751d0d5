"""What is ready, and for how long; and the audio of a sentence that was prepared."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from callbot.runtime.errors import ProviderError
from callbot.tts_worker import preparing
from callbot.tts_worker.preparing import Preparing, chunks_of
from callbot.tts_worker.urgency import Urgency

TEXT = "Sure."
CHUNKS = [b"1", b"2", b"3", b"4"]


class Voice:
    """Speaks a chunk for each permit, and fails where a test says so."""

    def __init__(self, permits: int = 1000) -> None:
        self.permits = asyncio.Semaphore(permits)
        self.spoken = 0
        self.begun = 0
        self.fails_at = -1
        self.closed = asyncio.Event()

    async def speak(self, text: str, urgency: Urgency) -> AsyncGenerator[bytes, None]:
        self.begun += 1
        try:
            for at, chunk in enumerate(CHUNKS):
                await self.permits.acquire()
                if at == self.fails_at and self.begun == 1:
                    raise ProviderError("broken", "", retryable=True)
                self.spoken += 1
                yield chunk
        finally:
            self.closed.set()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def heard(voice: Voice, ready: Preparing) -> list[bytes]:
    prepared = ready.claim(1, TEXT)
    return [chunk async for chunk in chunks_of(TEXT, prepared, voice.speak)]


async def test_what_nobody_asks_for_is_forgotten() -> None:
    voice = Voice(permits=1)
    ready = Preparing(voice.speak, kept_s=0.01)
    ready.prepare(1, TEXT)
    await asyncio.wait_for(voice.closed.wait(), 5)
    assert ready.claim(1, TEXT) is None
    assert (ready.prepared, ready.used, ready.thrown_away) == (1, 0, 1)


async def test_a_long_one_stops_at_its_bound_until_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "MAX_BYTES", 2)
    voice = Voice()
    ready = Preparing(voice.speak)
    ready.prepare(1, TEXT)
    await settle()
    assert voice.spoken == 2
    assert await heard(voice, ready) == CHUNKS
    assert voice.begun == 1


@pytest.mark.parametrize("claimed_before", [False, True])
async def test_one_that_fails_unheard_is_synthesised_anew(claimed_before: bool) -> None:
    """Also where it has audio already, of which nobody has heard anything."""
    voice = Voice()
    voice.fails_at = 0 if claimed_before else 2
    ready = Preparing(voice.speak)
    ready.prepare(1, TEXT)
    if not claimed_before:
        await settle()
    assert await heard(voice, ready) == CHUNKS
    assert voice.begun == 2
    assert (ready.used, ready.thrown_away) == ((1, 0) if claimed_before else (0, 1))


async def test_one_that_fails_while_it_is_heard_has_failed() -> None:
    voice = Voice(permits=1)
    voice.fails_at = 2
    ready = Preparing(voice.speak)
    ready.prepare(1, TEXT)
    await settle()
    audio = chunks_of(TEXT, ready.claim(1, TEXT), voice.speak)
    assert await anext(audio) == CHUNKS[0]
    voice.permits.release()
    assert await anext(audio) == CHUNKS[1]
    voice.permits.release()
    with pytest.raises(ProviderError, match="broken"):
        await anext(audio)
    assert voice.begun == 1


async def test_a_failed_one_is_prepared_again() -> None:
    voice = Voice()
    voice.fails_at = 0
    ready = Preparing(voice.speak)
    for _ in range(3):
        ready.prepare(1, TEXT)
        await settle()
    assert voice.begun == 2
    assert await heard(voice, ready) == CHUNKS


async def test_a_late_sentence_of_an_older_turn_takes_no_place() -> None:
    voice = Voice()
    ready = Preparing(voice.speak)
    ready.prepare(2, TEXT)
    ready.prepare(1, "Older.")
    claimed = ready.claim(2, TEXT)
    assert claimed is not None
    assert [chunk async for chunk in claimed.chunks()] == CHUNKS
    assert ready.prepared == 1


async def test_closing_stops_what_was_claimed_too() -> None:
    voice = Voice(permits=1)
    ready = Preparing(voice.speak)
    ready.prepare(1, TEXT)
    assert ready.claim(1, TEXT) is not None
    await settle()
    await ready.close()
    assert voice.closed.is_set()
