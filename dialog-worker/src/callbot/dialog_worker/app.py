"""A call's mind: each turn that the gateway opens is answered once, unless it is cancelled."""

import asyncio
import logging

from callbot.dialog_worker.answering import Answering, nothing_to_say
from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import Silent
from callbot.runtime.lease import Lease
from callbot.schemas.dialog import TurnAnswered, TurnCancelled, TurnOpened, WebhookStatus
from callbot.schemas.message import Receipt
from callbot.schemas.subjects import TURN_ANSWERED, TURN_CANCELLED, TURN_OPENED

log = logging.getLogger(__name__)


class Mind:
    """The work of one held mind's seat."""

    def __init__(self, lease: Lease, bus: Bus, answering: Answering) -> None:
        self._lease = lease
        self._bus = bus
        self._answering = answering
        self._listening: list[Listening] = []
        self._seen: set[int] = set()
        self._cancelled_to = -1
        self._running: dict[int, asyncio.Task[None]] = {}

    async def open(self) -> None:
        call_id = self._lease.call_id
        self._listening = [
            await self._bus.hear(TURN_CANCELLED, self._on_cancelled, call_id=call_id),
            await self._bus.answer(TURN_OPENED, self._on_opened, call_id=call_id),
        ]

    async def close(self) -> None:
        for listening in self._listening:
            await listening.stop()
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _on_opened(self, turn: TurnOpened) -> Receipt:
        if not self._lease.admits(turn.epoch):
            # Another holder listens on the same subject: a refusal from us could be heard before its answer.
            raise Silent
        if turn.number not in self._seen and turn.number > self._cancelled_to:
            self._seen.add(turn.number)
            task = asyncio.create_task(self._think(turn))
            self._running[turn.number] = task
            task.add_done_callback(lambda _: self._running.pop(turn.number, None))
        return Receipt()

    def _on_cancelled(self, cancelled: TurnCancelled) -> None:
        self._cancelled_to = max(self._cancelled_to, cancelled.number)
        for number, task in self._running.items():
            if number <= cancelled.number:
                task.cancel()

    async def _think(self, turn: TurnOpened) -> None:
        answered = await self._answered(turn)
        well = answered.webhook_status in (WebhookStatus.OK, WebhookStatus.NOT_CALLED)
        log.log(
            logging.INFO if well else logging.WARNING,
            "turn answered",
            extra={
                "turn_id": turn.turn_id,
                "source": answered.source,
                "webhook": answered.webhook_status.value,
                "webhook_detail": answered.webhook_detail,
                "webhook_ms": answered.webhook_ms,
                "llm_ms": answered.llm_ms,
                "pii.say": answered.say,
            },
        )
        await self._lease.report(TURN_ANSWERED, answered)

    async def _answered(self, turn: TurnOpened) -> TurnAnswered:
        try:
            return await self._answering.answer(self._lease.brief, turn)
        except Exception as e:
            log.exception("a turn could not be answered", extra={"turn_id": turn.turn_id})
            return nothing_to_say(turn, f"internal: {type(e).__name__}")
