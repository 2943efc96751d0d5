"""Four hours of a call at Google, its time compressed: whatever parts its streams, each word comes once."""

import asyncio
import math
import random
from collections import deque
from itertools import pairwise

import grpc
import pytest

from tests.vendors.google_call import MS_PER_CHARACTER, GoogleCall, call
from tests.vendors.google_stt import LONGEST_S, Break, GoogleSpeech, GoogleSpeechV1

HOUR_MS = 3600 * 1000
SPEED = 4000.0
"""So much faster than ours its time runs; a millisecond in which nobody is served is four seconds of it,
so that the server does not measure it here."""
ASKED_EVERY_MS = 20_000
"""As the ears end an utterance by force."""
LIMIT = "Exceeded maximum allowed stream duration of 305 seconds."


class Conversation:
    """A caller in several moods; ears that ask as ours do, later than ours, or in the middle of a word."""

    def __init__(self, call: GoogleCall, vendor: GoogleSpeech, seed: int) -> None:
        self._call = call
        self._vendor = vendor
        self._chance = random.Random(seed)
        self._number = 0
        self.said: list[str] = []
        self.heard: list[str] = []

    async def go_on(self, until_ms: int) -> None:
        moods = (self._asked_at_once, self._asked_late, self._asked_meanwhile, self._monologue, self._listens)
        while self._call.now_ms < until_ms:
            mood = self._chance.choices(moods, weights=(8, 24, 4, 1, 4))[0]
            await mood()
            self._call.is_silent(self._chance.randrange(600, 3000, 20))

    def _says(self, most: int) -> int:
        """Some words, at times without a gap; where they begin."""
        from_ms = self._call.now_ms - 300
        words = self._new_words(self._chance.randint(1, most))
        self._call.says(*words, between_ms=self._chance.choice((0, 40, 90)))
        return from_ms

    def _new_words(self, count: int) -> list[str]:
        words = [f"w{self._number + n:05}" for n in range(count)]
        self._number += count
        self.said += words
        return words

    async def _asks(self, from_ms: int) -> None:
        self.heard += (await self._call.words(from_ms)).split()

    async def _asked_at_once(self) -> None:
        from_ms = self._says(20)
        self._call.is_silent(80)
        await self._asks(from_ms)

    async def _asked_late(self) -> None:
        """Google has settled it on its own by then, so that the stream lives on."""
        finals = self._vendor.finals
        from_ms = self._says(30)
        self._call.is_silent(1000)
        async with asyncio.timeout(20):
            while self._vendor.finals == finals:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.005)
        await self._asks(from_ms)

    async def _asked_meanwhile(self) -> None:
        """The call goes on while the words are waited for."""
        from_ms = self._says(12)
        self._call.is_silent(160)
        asking = asyncio.create_task(self._asks(from_ms))
        await asyncio.sleep(0)
        self._call.is_silent(self._chance.randrange(200, 4000, 20))
        await asking

    async def _monologue(self) -> None:
        """Minutes without a pause; the ears end it by force wherever it stands, or never."""
        by_force = self._chance.random() < 0.5
        end_ms = self._call.now_ms + self._chance.randrange(60_000, 400_000, 20)
        from_ms = self._call.now_ms - 300
        asked_ms = self._call.now_ms
        while self._call.now_ms < end_ms:
            words = self._new_words(25)
            self._call.says(*words, between_ms=self._chance.choice((0, 40)))
            await self._call.heard(words[-2], from_ms)
            if by_force and self._call.now_ms - asked_ms > ASKED_EVERY_MS:
                await self._asks(from_ms)
                from_ms = asked_ms = self._call.now_ms
        self._call.is_silent(300)
        await self._asks(from_ms)

    async def _listens(self) -> None:
        """The bot speaks: silence for a long time, as fast as it is sent."""
        for _ in range(self._chance.randint(1, 4)):
            self._call.is_silent(10_000)
            assert await self._call.words(self._call.now_ms - 9000) == ""
            await asyncio.sleep(0.01)


@pytest.mark.timeout(300)
async def test_four_hours_lose_no_word_and_double_none(monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = GoogleSpeech()
    said, heard = await _held(vendor, 4 * HOUR_MS, monkeypatch)
    assert heard == said
    assert len(said) > 20_000
    assert vendor.complaints == []
    assert max(stream.ms for stream in vendor.streams) <= LONGEST_S * 1000
    assert sum(stream.ms >= 240_000 for stream in vendor.streams) >= 3, (
        "streams that lived until they were old"
    )


@pytest.mark.timeout(300)
async def test_an_hour_of_streams_that_google_ends_loses_none_either(monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = GoogleSpeechV1()
    vendor.breaks = _breaks()
    said, heard = await _held(vendor, HOUR_MS, monkeypatch)
    assert heard == said
    assert sum(bool(stream.status) for stream in vendor.streams) >= 5


async def _held(
    vendor: GoogleSpeech, until_ms: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], list[str]]:
    """A conversation: what was said, what was heard."""
    vendor.speed, vendor.ms_per_character = math.inf, MS_PER_CHARACTER
    told = {"CALLBOT_GOOGLE_STT_SPEED": str(SPEED)}
    async with vendor, call(vendor.environment, monkeypatch, told, frame_ms=100) as google:
        conversation = Conversation(google, vendor, seed=8000)
        await conversation.go_on(until_ms)
    return conversation.said, conversation.heard


def _breaks() -> deque[Break | None]:
    """Every few streams one that Google ends on its own."""
    chance = random.Random(1)
    codes = (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE)
    breaks: deque[Break | None] = deque([None] * 3)
    for code, _ in pairwise(codes * 40):
        breaks += [Break(chance.randrange(1000, 60_000), code, LIMIT), *[None] * chance.randint(2, 6)]
    return breaks
