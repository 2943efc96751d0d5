"""A call's mouth on the real runtime, with a real NATS server; the test is the gateway."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from itertools import count

import pytest
import pytest_asyncio

from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import NoResponders, TimedOut
from callbot.runtime.seat import SeatHolder
from callbot.schemas.audio import BotAudio
from callbot.schemas.dialog import SaySentence, SentenceFailed, TurnCancelled
from callbot.schemas.message import Receipt
from callbot.schemas.seats import CallOver, Role, SeatOffer
from callbot.schemas.subjects import (
    BOT_AUDIO,
    CALL_OVER,
    MOUTH_OFFER,
    SAY_SENTENCE,
    SENTENCE_FAILED,
    TURN_CANCELLED,
)
from callbot.schemas.text_audio import audible, texts_in
from callbot.tts_worker.app import mouths
from callbot.tts_worker.providers.scripted import ScriptedSynthesizer
from callbot.tts_worker.settings import Settings
from callbot.tts_worker.speaking import MAX_PAYLOAD_BYTES, Ahead
from callbot.tts_worker.synthesizer import Voice
from callbot.tts_worker.urgency import WAITED_FOR, Urgency
from tests.samples import a_brief
from tests.servers import Server, url_for
from tests.tts_chain import chain_of

CALL_IDS = (f"CA{number:032x}" for number in count(1))
WITHIN_S = 10.0
ENDLESS = "[[test:endless]]"


class Patient(ScriptedSynthesizer):
    """The shipped scripted voice, and a text that never ends: so a test can cancel in its middle."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.closed = asyncio.Event()

    async def speak(
        self, text: str, voice: Voice, urgency: Urgency = WAITED_FOR
    ) -> AsyncGenerator[bytes, None]:
        async for chunk in super().speak(text, voice, urgency):
            yield chunk
        if ENDLESS in text:
            try:
                await asyncio.Event().wait()
            finally:
                self.closed.set()


class Gateway:
    """The gateway's half of one mouth."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.call_id = next(CALL_IDS)
        self.epoch = 1024
        self.audio: list[BotAudio] = []
        self.failed: list[SentenceFailed] = []
        self._news = asyncio.Event()

    async def begin(self) -> None:
        await self.bus.hear(BOT_AUDIO, self._on_audio, call_id=self.call_id)
        await self.bus.answer(SENTENCE_FAILED, self._on_failed, call_id=self.call_id)
        await self.bus.flush()
        await self.offer()

    async def offer(self) -> None:
        self.epoch += 1
        offer = SeatOffer(
            call_id=self.call_id, role=Role.MOUTH, epoch=self.epoch, brief=a_brief(call_id=self.call_id)
        )
        accept = await self.bus.ask(MOUTH_OFFER, offer, timeout_s=WITHIN_S)
        assert accept.epoch == self.epoch

    async def say(self, sentence: int, text: str, *, turn: int = 1, epoch: int | None = None) -> bool:
        asked = SaySentence(epoch=epoch or self.epoch, turn=turn, sentence=sentence, text=text)
        answer = await self.bus.ask(SAY_SENTENCE, asked, timeout_s=WITHIN_S, call_id=self.call_id)
        return answer.accepted

    async def cancel(self, turn: int) -> None:
        await self.bus.tell(TURN_CANCELLED, TurnCancelled(number=turn), call_id=self.call_id)

    async def until(self, turn: int, sentence: int) -> bytes:
        """The sentence's audio, when it is complete; checks that nothing of it is missing or doubled."""
        parts = await self._until(turn, sentence, lambda parts: bool(parts) and parts[-1].total is not None)
        at = 0
        for part in parts:
            assert part.offset == at and len(part.payload) <= MAX_PAYLOAD_BYTES
            at += len(part.payload)
        assert parts[-1].total == at and not parts[-1].payload
        return b"".join(part.payload for part in parts)

    async def until_begun(self, turn: int, sentence: int) -> None:
        await self._until(turn, sentence, bool)

    async def until_failed(self, count: int) -> None:
        async with asyncio.timeout(WITHIN_S):
            while len(self.failed) < count:
                self._news.clear()
                await self._news.wait()

    async def _until(
        self, turn: int, sentence: int, enough: Callable[[list[BotAudio]], bool]
    ) -> list[BotAudio]:
        async with asyncio.timeout(WITHIN_S):
            while True:
                parts = [a for a in self.audio if (a.turn, a.sentence) == (turn, sentence)]
                if enough(parts):
                    return parts
                self._news.clear()
                await self._news.wait()

    def _on_audio(self, audio: BotAudio) -> None:
        if audio.epoch == self.epoch:
            self.audio.append(audio)
            self._news.set()

    async def _on_failed(self, failed: SentenceFailed) -> Receipt:
        self.failed.append(failed)
        self._news.set()
        return Receipt()


@pytest_asyncio.fixture
async def voice() -> Patient:
    return Patient(Settings(scripted_ms_per_character=20, tts_first_audio_s=0.05))


@pytest_asyncio.fixture
async def seats(nats: Server, voice: Patient) -> AsyncIterator[SeatHolder]:
    settings = Settings(room=4)
    async with (
        connect(url_for("tts-worker", nats), speaks_as="tts-worker") as bus,
        mouths(bus, chain_of(voice), settings) as seats,
    ):
        await bus.flush()
        yield seats


@pytest_asyncio.fixture
async def gateway(nats: Server, seats: SeatHolder) -> AsyncIterator[Gateway]:
    async with connect(url_for("gateway", nats), speaks_as="gateway") as bus:
        gateway = Gateway(bus)
        await gateway.begin()
        yield gateway


async def test_sentences_are_said_in_order_and_complete(gateway: Gateway) -> None:
    texts = ["Good evening and welcome to our small restaurant.", "A table for four?", "At seven?"]
    for number, text in enumerate(texts):
        assert await gateway.say(number, text)
    for number, text in enumerate(texts):
        assert await gateway.until(1, number) == audible(text, 20)
    assert [a.sentence for a in gateway.audio] == sorted(a.sentence for a in gateway.audio)
    assert list(texts_in(b"".join(a.payload for a in gateway.audio))) == texts


async def test_a_sentence_that_comes_again_is_said_once(gateway: Gateway) -> None:
    for _ in range(3):
        assert await gateway.say(0, "Once only.")
    await gateway.until(1, 0)
    assert await gateway.say(0, "Once only.")
    assert await gateway.say(1, "The next.")
    await gateway.until(1, 1)
    assert sum(a.total is not None for a in gateway.audio if a.sentence == 0) == 1


async def test_a_sentence_without_words_is_over_at_once(gateway: Gateway) -> None:
    assert await gateway.say(0, " \n ")
    assert await gateway.until(1, 0) == b""


async def test_white_space_is_not_said(gateway: Gateway) -> None:
    assert await gateway.say(0, "  two\n words ")
    assert list(texts_in(await gateway.until(1, 0))) == ["two words"]


async def test_a_cancelled_turn_is_silent_at_once(gateway: Gateway, voice: Patient) -> None:
    await gateway.say(0, f"{ENDLESS} and on")
    await gateway.say(1, "Never heard.")
    await gateway.until_begun(1, 0)
    await gateway.cancel(1)
    async with asyncio.timeout(WITHIN_S):
        await voice.closed.wait()
    assert await gateway.say(2, "Too late.", turn=1)
    assert await gateway.say(0, "The new turn.", turn=2)
    assert list(texts_in(await gateway.until(2, 0))) == ["The new turn."]
    assert not [a for a in gateway.audio if a.turn == 1 and (a.sentence > 0 or a.total is not None)]


async def test_cancelling_an_older_turn_does_not_touch_the_one_in_work(gateway: Gateway) -> None:
    await gateway.say(0, "First turn.", turn=1)
    await gateway.say(0, f"{ENDLESS} second", turn=2)
    await gateway.say(1, "Later.", turn=3)
    await gateway.until_begun(2, 0)
    await gateway.cancel(1)
    await gateway.cancel(2)
    assert await gateway.until(3, 1)


@pytest.mark.parametrize("how", ["fail", "stall", "break"])
async def test_a_sentence_that_cannot_be_said_is_reported_and_the_next_one_comes(
    gateway: Gateway, how: str
) -> None:
    await gateway.say(0, f"[[tts:{how}]] this")
    await gateway.say(1, "But this.")
    await gateway.until(1, 1)
    await gateway.until_failed(1)
    assert [(f.turn, f.sentence, f.epoch) for f in gateway.failed] == [(1, 0, gateway.epoch)]
    assert not [a for a in gateway.audio if a.sentence == 0 and a.total is not None]
    await gateway.say(0, f"[[tts:{how}]] this")
    await gateway.until_failed(2)


async def test_an_older_epoch_is_not_answered_and_a_newer_one_takes_over(gateway: Gateway) -> None:
    await gateway.say(0, f"{ENDLESS} old holder")
    await gateway.until_begun(1, 0)
    await gateway.offer()
    gateway.audio.clear()
    with pytest.raises(TimedOut):
        await gateway.say(0, "old", epoch=gateway.epoch - 1)
    assert await gateway.say(0, "Said again.")
    assert list(texts_in(await gateway.until(1, 0))) == ["Said again."]


async def test_after_the_call_nothing_is_left(gateway: Gateway, seats: SeatHolder, voice: Patient) -> None:
    await gateway.say(0, f"{ENDLESS} cut off")
    await gateway.until_begun(1, 0)
    await gateway.bus.tell(
        CALL_OVER, CallOver(call_id=gateway.call_id, generation=9), call_id=gateway.call_id
    )
    async with asyncio.timeout(WITHIN_S):
        await voice.closed.wait()
    asked = SaySentence(epoch=gateway.epoch, turn=1, sentence=1, text="Anybody?")
    with pytest.raises(NoResponders):
        async with asyncio.timeout(WITHIN_S):
            while True:
                # A request that meets the end of the subscription gets no answer at all.
                with contextlib.suppress(TimedOut):
                    await gateway.bus.ask(SAY_SENTENCE, asked, timeout_s=0.1, call_id=gateway.call_id)
    assert seats.live_calls == 0


def test_the_mouth_holds_back_when_it_is_far_ahead() -> None:
    ahead = Ahead()
    for _ in range(2):
        ahead.sent(80_000)
        ahead.sentence_ended()
        assert ahead.sentence_wait_s() <= 0
    ahead.sent(80_000)
    ahead.sentence_ended()
    assert 5 < ahead.sentence_wait_s() <= 10
    assert ahead.audio_wait_s() < 0
    ahead.sent(400_000)
    assert 15 < ahead.audio_wait_s() <= 20
    ahead.dropped()
    assert ahead.sentence_wait_s() <= 0 and ahead.audio_wait_s() < 0
