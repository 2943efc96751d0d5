"""A sentence is ready before it is asked for: a call's mouth over a real NATS server."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from itertools import count

import pytest

from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import ProviderError
from callbot.schemas.audio import BotAudio
from callbot.schemas.dialog import PrepareSentence, SaySentence, TurnCancelled
from callbot.schemas.seats import CallOver, Role, SeatOffer
from callbot.schemas.subjects import (
    BOT_AUDIO,
    CALL_OVER,
    MOUTH_OFFER,
    SAY_SENTENCE,
    SENTENCE_PREPARE,
    TURN_CANCELLED,
)
from callbot.schemas.text_audio import audible
from callbot.tts_worker.app import mouths
from callbot.tts_worker.providers.scripted import CHUNK_BYTES, ScriptedSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.synthesizer import Voice
from callbot.tts_worker.urgency import WAITED_FOR, Urgency
from tests.samples import a_brief
from tests.servers import Server, url_for
from tests.tts_chain import chain_of

CALL_IDS = (f"CA{number:032x}" for number in count(0x500))
EPOCH, MS = 1025, 50
WITHIN_S = 10.0
TEXT = "Sure, a table for four at seven."
OTHER = "I am sorry, we are closed."


class Watched(ScriptedSynthesizer):
    """The shipped scripted voice; it stops after the first chunk until a test lets it go on."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.asked: list[tuple[str, bool]] = []
        """The texts, and whether somebody waited for them."""
        self.risen: list[str] = []
        self.closed: list[str] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.fails_ahead = False
        self.news = asyncio.Event()

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        self.asked.append((text, urgency.waited_for))
        self.news.set()
        urgency.on_rise(lambda: self.risen.append(text))
        if self.fails_ahead and not urgency.waited_for:
            raise ProviderError("no_room", "for what nobody waits for", retryable=True)
        try:
            async for chunk in super().speak(text, voice, urgency):
                yield chunk
                await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.closed.append(text)
            self.news.set()
            raise

    async def until(self, *closed: str, asked: int = 0) -> None:
        async with asyncio.timeout(WITHIN_S):
            while sorted(self.closed) != sorted(closed) or len(self.asked) < asked:
                self.news.clear()
                await self.news.wait()


class Call:
    """The gateway's and the mind's side of one mouth."""

    def __init__(self, gateway: Bus, mind: Bus) -> None:
        self.gateway = gateway
        self.mind = mind
        self.call_id = next(CALL_IDS)
        self.heard: dict[tuple[int, int], bytes] = {}
        self.ended, self.prepared = set[tuple[int, int]](), set[tuple[int, int]]()
        self._news = asyncio.Event()

    async def begin(self) -> None:
        await self.gateway.hear(BOT_AUDIO, self._on_audio, call_id=self.call_id)
        await self.gateway.flush()
        brief = a_brief(call_id=self.call_id)
        offer = SeatOffer(call_id=self.call_id, role=Role.MOUTH, epoch=EPOCH, brief=brief)
        await self.gateway.ask(MOUTH_OFFER, offer, timeout_s=WITHIN_S)

    async def prepare(self, text: str, number: int = 1) -> None:
        told = PrepareSentence(number=number, text=text)
        await self.mind.tell(SENTENCE_PREPARE, told, call_id=self.call_id)

    async def say(self, text: str, turn: int = 1, sentence: int = 0) -> None:
        asked = SaySentence(epoch=EPOCH, turn=turn, sentence=sentence, text=text)
        await self.gateway.ask(SAY_SENTENCE, asked, timeout_s=WITHIN_S, call_id=self.call_id)

    async def cancel(self, number: int) -> None:
        await self.gateway.tell(TURN_CANCELLED, TurnCancelled(number=number), call_id=self.call_id)

    async def end(self) -> None:
        await self.gateway.tell(CALL_OVER, CallOver(call_id=self.call_id, generation=9), call_id=self.call_id)

    async def whole(self, turn: int = 1, sentence: int = 0) -> bytes:
        await self._until(lambda: (turn, sentence) in self.ended)
        return self.heard[turn, sentence]

    async def begun(self, turn: int = 1, sentence: int = 0) -> None:
        await self._until(lambda: bool(self.heard.get((turn, sentence))))

    async def _until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not enough():
                self._news.clear()
                await self._news.wait()

    def _on_audio(self, audio: BotAudio) -> None:
        key = (audio.turn, audio.sentence)
        assert len(self.heard.get(key, b"")) == audio.offset
        self.heard[key] = self.heard.get(key, b"") + audio.payload
        self.prepared |= {key} if audio.prepared else set()
        if audio.total is not None:
            assert audio.total == len(self.heard[key])
            self.ended.add(key)
        self._news.set()


@pytest.fixture
async def voice() -> Watched:
    return Watched(Settings(scripted_ms_per_character=MS))


@pytest.fixture
async def call(nats: Server, voice: Watched) -> AsyncIterator[Call]:
    async with (
        connect(url_for("tts-worker", nats), speaks_as="tts-worker") as bus,
        mouths(bus, chain_of(voice), Settings(room=4)),
        connect(url_for("gateway", nats), speaks_as="gateway") as gateway,
        connect(url_for("dialog-worker", nats), speaks_as="dialog-worker") as mind,
    ):
        await bus.flush()
        call = Call(gateway, mind)
        await call.begin()
        yield call


async def test_a_prepared_sentence_is_synthesised_once_and_not_heard_before_it_is_asked_for(
    call: Call, voice: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await call.prepare(f"  {TEXT} ")
    await voice.until(asked=1)
    assert call.heard == {}
    await call.say(TEXT.replace(" ", "\n"))
    assert await call.whole() == audible(TEXT, MS)
    assert call.prepared == {(1, 0)}
    assert voice.asked == [(TEXT, False)]
    await call.end()
    while not (said := [r for r in caplog.records if r.msg == "sentences were prepared"]):
        await asyncio.sleep(0.01)
    assert [(r.prepared, r.used, r.thrown_away) for r in said] == [(1, 1, 0)]  # type: ignore[attr-defined]


async def test_what_exists_is_sent_at_once_and_the_rest_as_it_comes(call: Call, voice: Watched) -> None:
    voice.may_go_on.clear()
    await call.prepare(TEXT)
    await voice.until(asked=1)
    await call.say(TEXT)
    await call.begun()
    assert call.heard[1, 0] == audible(TEXT, MS)[:CHUNK_BYTES]
    assert voice.risen == [TEXT]
    voice.may_go_on.set()
    assert await call.whole() == audible(TEXT, MS)
    assert voice.asked == [(TEXT, False)]


async def test_the_sentences_behind_a_prepared_one_do_not_throw_it_away(call: Call, voice: Watched) -> None:
    voice.may_go_on.clear()
    await call.prepare(TEXT)
    await voice.until(asked=1)
    await call.say(TEXT)
    await call.say(OTHER, sentence=1)
    voice.may_go_on.set()
    assert await call.whole() == audible(TEXT, MS)
    assert await call.whole(sentence=1) == audible(OTHER, MS)
    assert voice.asked == [(TEXT, False), (OTHER, True)]


async def test_another_sentence_throws_it_away(call: Call, voice: Watched) -> None:
    voice.may_go_on.clear()
    await call.prepare(TEXT)
    await voice.until(asked=1)
    await call.say(OTHER)
    await voice.until(TEXT, asked=2)
    voice.may_go_on.set()
    assert await call.whole() == audible(OTHER, MS)
    await call.say(TEXT, sentence=1)
    assert await call.whole(sentence=1) == audible(TEXT, MS)
    assert call.prepared == set()
    assert voice.asked == [(TEXT, False), (OTHER, True), (TEXT, True)]


async def test_a_newer_one_takes_its_place_and_the_same_one_does_not(call: Call, voice: Watched) -> None:
    voice.may_go_on.clear()
    await call.prepare(TEXT)
    await voice.until(asked=1)
    await call.prepare(TEXT)
    await call.prepare(OTHER)
    await voice.until(TEXT, asked=2)
    voice.may_go_on.set()
    await call.say(OTHER)
    assert await call.whole() == audible(OTHER, MS)
    assert voice.asked == [(TEXT, False), (OTHER, False)]


async def test_the_next_turns_sentence_waits_while_this_turn_goes_on(call: Call, voice: Watched) -> None:
    await call.prepare(TEXT, number=2)
    await voice.until(asked=1)
    await call.say(OTHER, turn=1)
    await call.whole()
    await call.cancel(1)
    await call.say(TEXT, turn=2)
    assert await call.whole(2) == audible(TEXT, MS)
    assert voice.asked == [(TEXT, False), (OTHER, True)]


@pytest.mark.parametrize("cancelled", [3, 4])
async def test_a_cancelled_turn_needs_no_sentence(call: Call, voice: Watched, cancelled: int) -> None:
    voice.may_go_on.clear()
    await call.prepare(TEXT, number=3)
    await voice.until(asked=1)
    await call.cancel(cancelled)
    await voice.until(TEXT)
    voice.may_go_on.set()
    await call.say(TEXT, turn=5)
    await call.whole(5)
    assert voice.asked == [(TEXT, False), (TEXT, True)]


async def test_a_turn_that_is_over_or_has_begun_needs_no_preparation(call: Call, voice: Watched) -> None:
    await call.cancel(3)
    await call.gateway.flush()
    await call.prepare(TEXT, number=3)
    await call.say(OTHER, turn=4)
    await call.whole(4)
    await call.prepare(TEXT, number=4)
    await call.mind.flush()
    await call.say(" ", turn=4, sentence=1)
    await call.whole(4, 1)
    await call.prepare(" ", number=5)
    await call.prepare("The next.", number=5)
    await voice.until(asked=2)
    assert voice.asked == [(OTHER, True), ("The next.", False)]


async def test_a_preparation_that_fails_is_no_failure(call: Call, voice: Watched) -> None:
    voice.fails_ahead = True
    await call.prepare(TEXT)
    await voice.until(asked=1)
    await call.say(TEXT)
    assert await call.whole() == audible(TEXT, MS)
    assert voice.asked == [(TEXT, False), (TEXT, True)]


async def test_a_claimed_one_ends_with_its_turn(call: Call, voice: Watched) -> None:
    voice.may_go_on.clear()
    await call.prepare(TEXT)
    await voice.until(asked=1)
    await call.say(TEXT)
    await call.begun()
    await call.cancel(1)
    await voice.until(TEXT)
    assert (call.ended, voice.asked) == (set(), [(TEXT, False)])


async def test_a_claimed_one_that_still_waits_ends_with_its_turn(call: Call, voice: Watched) -> None:
    voice.may_go_on.clear()
    await call.say(OTHER, turn=1)
    await call.begun()
    await call.prepare(TEXT, number=2)
    await voice.until(asked=2)
    await call.say(TEXT, turn=2)
    await call.cancel(2)
    await voice.until(OTHER, TEXT, asked=2)
    assert (2, 0) not in call.heard


async def test_after_the_call_nothing_is_left(call: Call, voice: Watched) -> None:
    voice.may_go_on.clear()
    await call.prepare(TEXT)
    await voice.until(asked=1)
    await call.end()
    await voice.until(TEXT)
    assert (call.heard, voice.asked) == ({}, [(TEXT, False)])
