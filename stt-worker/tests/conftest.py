"""A real NATS server, a phone line into the ears, and a speaking voice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TypeVar

import pytest

from callbot.runtime.bus import Bus, connect
from callbot.runtime.errors import NoResponders
from callbot.runtime.seat import SeatHolder
from callbot.schemas.audio import FRAME_BYTES, SILENCE_BYTE, CallerAudio
from callbot.schemas.message import Message, Receipt
from callbot.schemas.providers import ProviderFellBack
from callbot.schemas.seats import Role, SeatAccept, SeatOffer
from callbot.schemas.speech import EarsProgress, TurnEnded
from callbot.schemas.subjects import (
    CALLER_AUDIO,
    EARS_OFFER,
    EARS_PROGRESS,
    PROVIDER_FELL_BACK,
    SPEECH_CONFIRMED,
    SPEECH_JUDGED,
    TRANSCRIPT_INTERIM,
    TURN_EAGER,
    TURN_ENDED,
    TURN_RESUMED,
)
from callbot.schemas.turn_taking import TurnTaking
from callbot.stt_worker.app import ears, judge_for
from callbot.stt_worker.prosody import Prosody, ProsodyModel
from callbot.stt_worker.recognition import LocalGuards, Recognition, open_recognition
from callbot.stt_worker.recognizer import Recognizer
from callbot.stt_worker.settings import Settings
from callbot.stt_worker.voice_activity import voice_activity
from tests.piper_voice import spoken_by_piper
from tests.samples import CALL_ID, a_brief
from tests.servers import Server, url_for


def silence(ms: int) -> bytes:
    return bytes([SILENCE_BYTE]) * (ms * 8)


M = TypeVar("M", bound=Message)
TOLD = (SPEECH_CONFIRMED, SPEECH_JUDGED, TRANSCRIPT_INTERIM, TURN_EAGER, TURN_RESUMED)


class Gateway:
    """What the gateway does for the ears: offers, frames, receipts."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.turns: asyncio.Queue[TurnEnded] = asyncio.Queue()
        self.progress: asyncio.Queue[EarsProgress] = asyncio.Queue()
        self.told: list[Message] = []
        """All but progress, in the order in which it came; turns included."""
        self._told_more = asyncio.Event()
        self.fell_back: asyncio.Queue[ProviderFellBack] = asyncio.Queue()
        self.receipt: Callable[[TurnEnded], Awaitable[Receipt]] = self._accept
        self.seq = 0

    async def start(self) -> None:
        async def on_turn(turn: TurnEnded) -> Receipt:
            receipt = await self.receipt(turn)
            self._was_told(turn)
            self.turns.put_nowait(turn)
            return receipt

        async def on_fell_back(told: ProviderFellBack) -> Receipt:
            self.fell_back.put_nowait(told)
            return Receipt()

        await self.bus.answer(TURN_ENDED, on_turn)
        await self.bus.answer(PROVIDER_FELL_BACK, on_fell_back)
        await self.bus.hear(EARS_PROGRESS, self.progress.put_nowait)
        for row in TOLD:
            await self.bus.hear(row, self._was_told)
        await self.bus.flush()

    def _was_told(self, message: Message) -> None:
        self.told.append(message)
        self._told_more.set()

    async def first(self, kind: type[M], which: Callable[[M], bool] = lambda _: True) -> M:
        """The first message of this kind for which it holds; waits for it."""
        async with asyncio.timeout(10):
            while True:
                for message in self.told:
                    if isinstance(message, kind) and which(message):
                        return message
                self._told_more.clear()
                await self._told_more.wait()

    async def offer(
        self, epoch: int = 1, from_seq: int = 0, turn: TurnTaking | None = None, language: str = "en-US"
    ) -> SeatAccept:
        brief = a_brief(turn=turn or TurnTaking(), language=language)
        offer = SeatOffer(call_id=CALL_ID, role=Role.EARS, epoch=epoch, brief=brief, from_seq=from_seq)
        async with asyncio.timeout(5):
            while True:
                try:
                    return await self.bus.ask(EARS_OFFER, offer, timeout_s=2)
                except NoResponders:
                    await asyncio.sleep(0.01)

    async def send(
        self, audio: bytes, *, epoch: int = 1, from_seq: int | None = None, replayed: bool = False
    ) -> None:
        if from_seq is not None:
            self.seq = from_seq
        for at in range(0, len(audio), FRAME_BYTES):
            frame = CallerAudio(epoch, self.seq, self.seq * 20, audio[at : at + FRAME_BYTES], replayed)
            self.seq += 1
            await self.bus.tell(CALLER_AUDIO, frame, call_id=CALL_ID)

    async def speak(self, audio: bytes, *, epoch: int = 1) -> None:
        """As a caller does: 20 ms each 20 ms."""
        begun_s = asyncio.get_running_loop().time()
        for number, at in enumerate(range(0, len(audio), FRAME_BYTES)):
            await self.send(audio[at : at + FRAME_BYTES], epoch=epoch)
            await asyncio.sleep(begun_s + 0.02 * (number + 1) - asyncio.get_running_loop().time())

    async def turn(self, within_s: float = 10) -> TurnEnded:
        return await asyncio.wait_for(self.turns.get(), within_s)

    async def progress_at(self, seq: int) -> EarsProgress:
        """The first progress that has heard this frame."""
        while (told := await asyncio.wait_for(self.progress.get(), 10)).heard_seq < seq:
            pass
        return told

    @staticmethod
    async def _accept(_: TurnEnded) -> Receipt:
        return Receipt()


@pytest.fixture
async def gateway(nats: Server) -> AsyncIterator[Gateway]:
    async with connect(url_for("gateway", nats), speaks_as="gateway") as bus:
        gateway = Gateway(bus)
        await gateway.start()
        yield gateway


class Worker(Protocol):
    """Starts an stt-worker with these models, for as long as the context lasts."""

    def __call__(
        self, recognizer: Recognizer | None = None, prosody: ProsodyModel | None = None, **told: object
    ) -> AbstractAsyncContextManager[SeatHolder]: ...


@pytest.fixture
def worker(nats: Server) -> Worker:
    @asynccontextmanager
    async def started(
        recognizer: Recognizer | None = None, prosody: ProsodyModel | None = None, **told: object
    ) -> AsyncIterator[SeatHolder]:
        settings = Settings(**{"stt": "scripted", "vad": "energy", **told})
        recognition = recognizer and Recognition.of_one("scripted", recognizer, settings)
        with ThreadPoolExecutor(1) as pool:
            async with (
                open_recognition(settings, LocalGuards()) as by_name,
                voice_activity(judge_for(settings)) as detection,
                connect(url_for("stt-worker", nats), speaks_as="stt-worker") as bus,
                ears(bus, detection, recognition or by_name, Prosody(prosody, pool), settings) as seats,
            ):
                yield seats

    return started


@pytest.fixture(scope="session")
def say(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], list[bytes]]:
    """Texts in, mu-law at 8 kHz out."""
    return lambda texts: spoken_by_piper(texts, tmp_path_factory.mktemp("spoken"))


@pytest.fixture(scope="session")
def spoken(say: Callable[[list[str]], list[bytes]]) -> dict[str, bytes]:
    texts = [
        "I'd like to book a table for four.",
        "Tomorrow at seven in the evening.",
        "My name is Anna Miller.",
        "No that is all, thank you.",
        "Do you have anything vegetarian on the menu?",
        "Yes, please.",
        "What time do you close on Sunday?",
        "I need to cancel my appointment on Friday.",
    ]
    return dict(zip(texts, say(texts), strict=True))
