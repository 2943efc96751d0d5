"""A call's mouth whose first voice is a vendor on a bad day: the whole sentence is heard, and it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest

from callbot.runtime.bus import Bus, connect
from callbot.runtime.guard import LocalGuard
from callbot.schemas.audio import BotAudio
from callbot.schemas.dialog import SaySentence
from callbot.schemas.message import Receipt
from callbot.schemas.providers import ProviderFellBack
from callbot.schemas.seats import CallOver, Role, SeatOffer
from callbot.schemas.subjects import (
    BOT_AUDIO,
    CALL_OVER,
    MOUTH_OFFER,
    PROVIDER_FELL_BACK,
    SAY_SENTENCE,
)
from callbot.schemas.text_audio import audible
from callbot.tts_worker.app import mouths
from callbot.tts_worker.chain_synthesizer import PAUSE
from callbot.tts_worker.opening import open_synthesizer
from callbot.tts_worker.settings import Settings
from tests.samples import a_brief
from tests.servers import Server, url_for
from tests.vendors.elevenlabs_tts import ElevenLabsTts
from tests.vendors.speech_tones import begins, is_said
from tests.vendors.tts_vendor import CHATTER, Day

CALL_IDS = (f"CA{number:032x}" for number in count(7000))
TEXT = "A table for four at seven."
WITHIN_S = 20.0
MS = 20
REASON = {
    Day.REFUSED: "refused",
    Day.BUSY: "busy",
    Day.BUSY_FOR: "busy",
    Day.BROKEN: "unavailable",
    Day.SLOW: "too_slow",
    Day.STALLS: "too_slow",
    Day.CUT: "broken_off",
    Day.MALFORMED: "malformed",
    Day.OUT_OF_QUOTA: "out_of_quota",
}


class Gateway:
    """The gateway's half of one mouth."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._call_id = next(CALL_IDS)
        self._epoch = 1025
        self._news = asyncio.Event()
        self._audio: dict[int, bytes] = {}
        self._ended: set[int] = set()
        self.told: list[tuple[str, str, str]] = []

    async def begin(self, voice: str) -> None:
        await self._bus.hear(BOT_AUDIO, self._on_audio, call_id=self._call_id)
        await self._bus.answer(PROVIDER_FELL_BACK, self._on_fell_back, call_id=self._call_id)
        await self._bus.flush()
        brief = a_brief(call_id=self._call_id, voice=voice)
        offer = SeatOffer(call_id=self._call_id, role=Role.MOUTH, epoch=self._epoch, brief=brief)
        await self._bus.ask(MOUTH_OFFER, offer, timeout_s=WITHIN_S)

    async def end(self) -> None:
        await self._bus.tell(CALL_OVER, CallOver(call_id=self._call_id, generation=1), call_id=self._call_id)

    async def hears(self, turn: int, text: str) -> bytes:
        """The turn's only sentence, whole."""
        asked = SaySentence(epoch=self._epoch, turn=turn, sentence=0, text=text)
        await self._bus.ask(SAY_SENTENCE, asked, timeout_s=WITHIN_S, call_id=self._call_id)
        await self._until(lambda: turn in self._ended)
        return self._audio.get(turn, b"")

    async def until_told(self, count: int) -> None:
        await self._until(lambda: len(self.told) >= count)

    async def _until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not true():
                self._news.clear()
                await self._news.wait()

    def _on_audio(self, audio: BotAudio) -> None:
        assert len(self._audio.get(audio.turn, b"")) == audio.offset
        self._audio[audio.turn] = self._audio.get(audio.turn, b"") + audio.payload
        if audio.total is not None:
            self._ended.add(audio.turn)
        self._news.set()

    async def _on_fell_back(self, told: ProviderFellBack) -> Receipt:
        assert told.stage == "mouth"
        self.told.append((told.provider, told.reason, told.instead))
        self._news.set()
        return Receipt()


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ElevenLabsTts]:
    async with ElevenLabsTts() as vendor:
        for name, value in vendor.environment.items():
            monkeypatch.setenv(name, value)
        yield vendor


@pytest.fixture
async def gateway(nats: Server, vendor: ElevenLabsTts) -> AsyncIterator[Gateway]:
    settings = Settings(
        tts="elevenlabs,scripted", room=4, scripted_ms_per_character=MS, tts_switch_after_s=1.0
    )
    async with (
        connect(url_for("tts-worker", nats), speaks_as="tts-worker") as bus,
        open_synthesizer(settings, LocalGuard) as chain,
        mouths(bus, chain, settings),
        connect(url_for("gateway", nats), speaks_as="gateway") as other_end,
    ):
        await bus.flush()
        gateway = Gateway(other_end)
        await gateway.begin("elevenlabs:alice")
        yield gateway
        await gateway.end()


async def test_on_a_good_day_the_bots_own_voice_speaks(gateway: Gateway) -> None:
    assert is_said(await gateway.hears(1, TEXT), TEXT)
    assert gateway.told == []


@pytest.mark.parametrize("day", REASON)
async def test_on_a_bad_day_the_whole_sentence_is_heard(
    gateway: Gateway, vendor: ElevenLabsTts, caplog: pytest.LogCaptureFixture, day: Day
) -> None:
    caplog.set_level("DEBUG")
    vendor.day = day
    heard = await gateway.hears(1, TEXT)
    again = audible(TEXT, MS)
    if day in (Day.STALLS, Day.CUT):
        assert heard.endswith(PAUSE + again)
        assert begins(heard.removesuffix(PAUSE + again), TEXT)
    else:
        assert heard == again
    await gateway.until_told(1)
    assert gateway.told == [("elevenlabs", REASON[day], "scripted")]
    written = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert CHATTER not in written and not any(secret in written for secret in vendor.secrets)


async def test_after_a_bad_day_the_bots_own_voice_is_back(gateway: Gateway, vendor: ElevenLabsTts) -> None:
    vendor.day = Day.BROKEN
    assert await gateway.hears(1, TEXT) == audible(TEXT, MS)
    vendor.day = Day.GOOD
    assert is_said(await gateway.hears(2, TEXT), TEXT)
    assert gateway.told == [("elevenlabs", "unavailable", "scripted")]


async def test_the_voice_is_warm_before_the_first_sentence(gateway: Gateway, vendor: ElevenLabsTts) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not vendor.connections:
            await asyncio.sleep(0.01)
    assert vendor.asked == []
