"""A live call at its gateway, over a real NATS: the test plays the workers, the line and the clock."""

import asyncio
from collections.abc import Callable

from callbot.gateway.live_call import LiveCall, Platform
from callbot.gateway.memory import EventLog, Journals
from callbot.gateway.phrases import PhraseLibrary, load
from callbot.gateway.recording import PieceSender
from callbot.gateway.seating import Beats
from callbot.runtime.bus import Bus
from callbot.schemas.audio import BotAudio
from callbot.schemas.calls import CallBrief, CallJournal, TurnDone
from callbot.schemas.dialog import (
    TurnAnswered,
    WebhookStatus,
)
from callbot.schemas.message import Message, Receipt
from callbot.schemas.seats import Role, SeatAccept, SeatOffer, WorkerBeat
from callbot.schemas.speech import (
    SpeechConfirmed,
    SpeechJudged,
    SpeechVerdict,
    TurnEnded,
)
from callbot.schemas.subjects import (
    BOT_AUDIO,
    OFFERS,
    PHRASES_SPEAK,
    SAY_SENTENCE,
    SPEECH_CONFIRMED,
    SPEECH_JUDGED,
    TURN_ANSWERED,
    TURN_ENDED,
    TURN_FORESEEN,
    TURN_OPENED,
    TURN_WITHDRAWN,
)
from callbot.schemas.turn_record import TurnRecord
from tests.samples import CALL_ID

OURS = load()
GREETING = b"\x21" * 4000
WORKERS = {Role.EARS: "stt-worker", Role.MIND: "dialog-worker", Role.MOUTH: "tts-worker"}


class Stage:
    """Everything around one live call."""

    def __init__(self, buses: dict[str, Bus]) -> None:
        self.buses = buses
        self.ears, self.mind, self.mouth = (buses[WORKERS[role]] for role in Role)
        self.now_ms = 10_000.0
        self.sent = b""
        self.clears = 0
        self.hung_up = False
        self.got: list[Message] = []
        self.epochs: dict[Role, int] = {}
        self._beats = Beats(lambda: self.now_ms)
        self._library = PhraseLibrary(buses["gateway"])
        self._events = EventLog(buses["gateway"])
        self.journals = Journals(buses["gateway"])

    def audio(self, payload: bytes) -> None:
        self.sent += payload

    def mark(self, name: str) -> None:
        pass

    def clear(self) -> None:
        self.clears += 1

    def hang_up(self) -> None:
        self.hung_up = True

    async def work(self) -> None:
        """The workers take their seats and write down what they are told."""
        for role, service in WORKERS.items():
            await self.buses[service].answer(OFFERS[role], self._accept)
        await self.mind.hear(TURN_FORESEEN, self.got.append)
        await self.mind.hear(TURN_WITHDRAWN, self.got.append)
        await self.mind.answer(TURN_OPENED, self._note)
        await self.mouth.answer(SAY_SENTENCE, self._note)
        await self.mouth.answer(PHRASES_SPEAK, self._note)
        for service in WORKERS.values():
            await self.buses[service].flush()

    async def _accept(self, offer: SeatOffer) -> SeatAccept:
        self.epochs[offer.role] = offer.epoch
        return SeatAccept(worker_id=WORKERS[offer.role], epoch=offer.epoch)

    async def _note(self, message: Message) -> Receipt:
        self.got.append(message)
        return Receipt()

    async def begins(self, brief: CallBrief, before: CallJournal | None = None) -> "Stage":
        bus = self.buses["gateway"]
        pieces = PieceSender(bus)
        platform = Platform(bus, self._beats, self.journals, self._events, self._library, pieces)
        resumed = None
        if before is not None:
            resumed = before, await self.journals.write(before, None)
        self.call = LiveCall(platform, self, brief, resumed)
        await self.call.open()
        await self.until(lambda: len(self.epochs) == 3 and all(map(self._seated, Role)))
        return self

    def _seated(self, role: Role) -> bool:
        return self.call._seating.epoch(role) == self.epochs[role]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not true():
                await asyncio.sleep(0.002)

    async def passes(self, ms: int) -> None:
        """The caller's line is open, the workers live."""
        for _ in range(ms // 20):
            self.now_ms += 20
            for role, worker in WORKERS.items():
                self._beats.take(WorkerBeat(worker_id=worker, role=role, seats=1, room=9))
            self.call.hear(b"\xff" * 160)
            self.call._hand_over.ears_heard(self.call._frames.next_seq)
            self.call.tick(stalled=False)

    def all_of(self, kind: type[Message]) -> list[Message]:
        return [m for m in self.got if type(m) is kind]

    @property
    def records(self) -> list[TurnRecord]:
        return [e.fact.turn for e in self._events._waiting if isinstance(e.fact, TurnDone)]

    async def says(self, turn: int, audio: bytes, *, prepared: bool = False) -> None:
        epoch = self.epochs[Role.MOUTH]
        for piece in (
            BotAudio(epoch, turn, 0, 0, audio, prepared=prepared),
            BotAudio(epoch, turn, 0, len(audio), b"", len(audio)),
        ):
            await self.mouth.tell(BOT_AUDIO, piece, call_id=CALL_ID)

    async def ended(self, text: str, from_seq: int = 40, *, speech_ended_at_ms: int = 1000) -> bool:
        end = TurnEnded(
            epoch=self.epochs[Role.EARS],
            from_seq=from_seq,
            to_seq=from_seq + 20,
            text=text,
            speech_ended_at_ms=speech_ended_at_ms,
            ended_at_ms=speech_ended_at_ms + 300,
            stt_ms=60,
        )
        return (await self.ears.ask(TURN_ENDED, end, timeout_s=2, call_id=CALL_ID)).accepted

    async def answered(self, number: int, say: str) -> None:
        answer = TurnAnswered(
            epoch=self.epochs[Role.MIND],
            turn_id=f"{CALL_ID}.{number}",
            number=number,
            say=say,
            sentences=[say],
            source="webhook",
            webhook_status=WebhookStatus.OK,
            speculation="used",
            won_ms=250,
        )
        await self.mind.ask(TURN_ANSWERED, answer, timeout_s=2, call_id=CALL_ID)

    async def confirmed(self, from_seq: int = 40) -> None:
        speech = SpeechConfirmed(epoch=self.epochs[Role.EARS], from_seq=from_seq, at_ms=from_seq * 20)
        await self.ears.tell(SPEECH_CONFIRMED, speech, call_id=CALL_ID)

    async def judged(self, verdict: SpeechVerdict, from_seq: int = 40) -> None:
        sound = SpeechJudged(
            epoch=self.epochs[Role.EARS], from_seq=from_seq, verdict=verdict, sound_ended_at_ms=1000
        )
        await self.ears.tell(SPEECH_JUDGED, sound, call_id=CALL_ID)
