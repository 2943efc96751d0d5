"""A call's mind: each turn that the gateway opens is answered once, unless it is cancelled."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence

from callbot.dialog_worker.answering import Answering, nothing_to_say
from callbot.dialog_worker.foreseeing import Foreseeing, Thought
from callbot.dialog_worker.language_model import TokensUsed
from callbot.dialog_worker.suggestion import Suggestion
from callbot.runtime import tracing
from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import BusError, Silent
from callbot.runtime.lease import Lease
from callbot.runtime.telemetry import about
from callbot.schemas.bots import Suggest
from callbot.schemas.dialog import (
    PrepareSentence,
    TurnAnswered,
    TurnCancelled,
    TurnForeseen,
    TurnOpened,
    TurnWithdrawn,
    WebhookStatus,
)
from callbot.schemas.message import Receipt
from callbot.schemas.subjects import (
    SENTENCE_PREPARE,
    TURN_ANSWERED,
    TURN_CANCELLED,
    TURN_FORESEEN,
    TURN_OPENED,
    TURN_WITHDRAWN,
)
from callbot.schemas.usage import Used, summed
from callbot.schemas.webhook import HistoryEntry

log = logging.getLogger(__name__)


class Mind:
    """The work of one held mind's seat."""

    def __init__(self, lease: Lease, bus: Bus, answering: Answering) -> None:
        self._lease = lease
        self._bus = bus
        self._answering = answering
        self._foreseeing = Foreseeing(self._start, kept_s=answering.settings.foreseen_s)
        self._listening: list[Listening] = []
        self._seen: set[int] = set()
        self._cancelled_to = -1
        self._prepared: PrepareSentence | None = None
        self._running: dict[int, asyncio.Task[None]] = {}
        self._beside: set[asyncio.Task[None]] = set()
        self._reading_ahead: asyncio.Task[None] | None = None
        self._used: list[Used] = []

    async def open(self) -> None:
        call_id = self._lease.call_id
        self._listening = [
            await self._bus.hear(TURN_CANCELLED, self._on_cancelled, call_id=call_id),
            await self._bus.hear(TURN_FORESEEN, self._on_foreseen, call_id=call_id),
            await self._bus.hear(TURN_WITHDRAWN, self._on_withdrawn, call_id=call_id),
            await self._bus.answer(TURN_OPENED, self._on_opened, call_id=call_id),
        ]
        self._reading_ahead = self._spawn(self._answering.read_ahead(self._lease.brief, self._count))

    async def close(self) -> None:
        for listening in self._listening:
            await listening.stop()
        running = [*self._running.values(), *self._beside]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, self._foreseeing.close(), return_exceptions=True)
        self._say_how_useful_foreseeing_was()

    def used(self) -> list[Used]:
        return self._used

    def _count(self, used: TokensUsed) -> None:
        """Whether or not anybody has heard what it was for."""
        one = Used(
            role="llm",
            provider=used.provider,
            model=used.model,
            tokens_in=used.tokens_in,
            tokens_out=used.tokens_out,
            estimated=used.estimated,
        )
        self._used = summed([*self._used, one])

    def _on_foreseen(self, turn: TurnForeseen) -> None:
        newest = max(self._seen, default=-1)
        if not self._lease.admits(turn.epoch) or turn.number <= max(newest, self._cancelled_to):
            return
        if self._lease.brief.suggest is not Suggest.OFF:
            self._foreseeing.foresee(turn)

    def _on_withdrawn(self, turn: TurnWithdrawn) -> None:
        if self._lease.admits(turn.epoch):
            self._foreseeing.withdraw(turn.number)

    async def _on_opened(self, turn: TurnOpened) -> Receipt:
        if not self._lease.admits(turn.epoch):
            # Another holder listens on the same subject: a refusal from us could be heard before its answer.
            raise Silent
        if turn.number not in self._seen and turn.number > self._cancelled_to:
            self._seen.add(turn.number)
            thought = self._foreseeing.think(turn)
            task = asyncio.create_task(self._think(turn, thought))
            self._running[turn.number] = task
            task.add_done_callback(lambda _: self._over(turn.number, thought))
        return Receipt()

    def _over(self, number: int, thought: Thought) -> None:
        self._running.pop(number, None)
        # A task that is cancelled before its first step has not even begun to stop it.
        thought.suggestion.cancel()

    def _on_cancelled(self, cancelled: TurnCancelled) -> None:
        self._cancelled_to = max(self._cancelled_to, cancelled.number)
        self._foreseeing.cancel_up_to(cancelled.number)
        for number, task in self._running.items():
            if number <= cancelled.number:
                task.cancel()

    def _start(self, number: int, history: Sequence[HistoryEntry], user_text: str) -> Suggestion:
        if self._reading_ahead is not None:
            # The model is needed now; what it has read until here stays in its cache.
            self._reading_ahead.cancel()

        def prepare(sentence: str) -> None:
            self._prepare(PrepareSentence(number=number, text=sentence))

        with about(turn_id=f"{self._lease.call_id}.{number}"):
            return self._answering.suggest(
                self._lease.brief, history, user_text, on_first=prepare, tell_used=self._count
            )

    def _prepare(self, sentence: PrepareSentence) -> None:
        """The mouth keeps one sentence: what it was told last need not be told again."""
        if sentence != self._prepared:
            self._prepared = sentence
            self._spawn(self._tell(sentence))

    async def _tell(self, sentence: PrepareSentence) -> None:
        try:
            await self._bus.tell(SENTENCE_PREPARE, sentence, call_id=self._lease.call_id)
        except BusError as e:
            log.debug("a sentence was not prepared", extra={"reason": str(e)})

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    def _say_how_useful_foreseeing_was(self) -> None:
        foreseeing = self._foreseeing
        if foreseeing.started:
            log.info(
                "turns were foreseen",
                extra={
                    "call_id": self._lease.call_id,
                    "started": foreseeing.started,
                    "used": foreseeing.used,
                    "thrown_away": foreseeing.thrown_away,
                    "won_ms": round(foreseeing.won_ms, 1),
                },
            )

    async def _think(self, turn: TurnOpened, thought: Thought) -> None:
        with about(turn_id=turn.turn_id), tracing.span("answer", elapsed_ms=turn.elapsed_ms) as facts:
            answered = await self._answered(turn, thought)
            facts |= {"source": answered.source, "sentences": len(answered.sentences)}
            await self._tell_answer(turn, answered)

    async def _tell_answer(self, turn: TurnOpened, answered: TurnAnswered) -> None:
        well = answered.webhook_status in (WebhookStatus.OK, WebhookStatus.NOT_CALLED)
        log.log(
            logging.INFO if well else logging.WARNING,
            "turn answered",
            extra={
                "call_id": self._lease.call_id,
                "turn_id": turn.turn_id,
                "source": answered.source,
                "webhook": answered.webhook_status.value,
                "webhook_detail": answered.webhook_detail,
                "webhook_ms": answered.webhook_ms,
                "llm_ms": answered.llm_ms,
                "speculation": answered.speculation,
                "won_ms": answered.won_ms,
                "pii.say": answered.say,
            },
        )
        await self._lease.report(TURN_ANSWERED, answered)

    async def _answered(self, turn: TurnOpened, thought: Thought) -> TurnAnswered:
        try:
            return await self._answering.answer(self._lease.brief, turn, thought)
        except Exception as e:
            ids = {"call_id": self._lease.call_id, "turn_id": turn.turn_id}
            log.exception("a turn could not be answered", extra=ids)
            return nothing_to_say(turn, f"internal: {type(e).__name__}")
