"""Questions of other services: from when they are taken, and how long an answer may take."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from callbot.call_router.database import StoreRejected, StoreUnavailable
from callbot.runtime.bus import Bus, Listening
from callbot.runtime.errors import Refused
from callbot.schemas.message import Wire
from callbot.schemas.subjects import (
    BOT_CREATE,
    BOT_DELETE,
    BOT_TEST,
    CALL_DELETE,
    NUMBER_CONNECT,
    NUMBER_DISCONNECT,
    Question,
)

QUEUE = "call-router"
ANSWER_WITHIN_S = 1.5
"""The gateway waits two seconds; a refusal must be there before."""
TWILIO_WITHIN_S = 11.0
WEBHOOK_WITHIN_S = 5.5
ERASED_WITHIN_S = 5.5
LONGER_S = {
    BOT_CREATE.name: TWILIO_WITHIN_S,
    BOT_DELETE.name: TWILIO_WITHIN_S,
    NUMBER_CONNECT.name: TWILIO_WITHIN_S,
    NUMBER_DISCONNECT.name: TWILIO_WITHIN_S,
    BOT_TEST.name: WEBHOOK_WITHIN_S,
    CALL_DELETE.name: ERASED_WITHIN_S,
}
"""Somebody else is asked for these, or a recording is erased; here too the gateway waits a little longer. One
operation of the database has no more time than elsewhere."""
M = TypeVar("M", bound=Wire)
A = TypeVar("A", bound=Wire)
Answer = Callable[[M], Awaitable[A]]
log = logging.getLogger(__name__)


class Questions:
    """Are taken from when they can be answered; until then other replicas have them."""

    def __init__(self, bus: Bus, answers: Sequence[tuple[Question[Any, Any], Answer[Any, Any]]]) -> None:
        self._bus = bus
        self._answers = answers
        self._listening: list[Listening] = []
        self._over = False

    async def take(self) -> bool:
        """Are they taken now? May be tried again. Raises TimedOut."""
        for row, answer in () if self._over else self._answers[len(self._listening) :]:
            bounded = _bounded(answer, LONGER_S.get(row.name, ANSWER_WITHIN_S))
            self._listening.append(await self._bus.answer(row, bounded, queue=QUEUE))
        return not self._over

    async def finish(self, within_s: float) -> None:
        """Nothing new; what has been asked is answered, as far as the time allows."""
        self._over = True
        await asyncio.gather(*(listening.finish() for listening in self._listening))
        await self._bus.answered(within_s)


def _bounded(answer: Answer[M, A], within_s: float) -> Answer[M, A]:
    """In time or not at all."""

    async def bounded(question: M) -> A:
        try:
            async with asyncio.timeout(within_s):
                return await answer(question)
        except (StoreUnavailable, TimeoutError) as e:
            log.warning("unavailable", extra=_facts(question, e))
            raise Refused("unavailable", "The database does not answer. Please try again.") from e
        except StoreRejected as e:
            log.error("rejected", extra=_facts(question, e))
            raise Refused("invalid_request", "This cannot be stored.") from e

    return bounded


def _facts(question: Wire, error: Exception) -> dict[str, str]:
    """What was asked, about which call or bot, and what was wrong."""
    ids = {name: found for name in ("call_id", "bot_id") if (found := getattr(question, name, None))}
    return {"question": type(question).__name__, **ids, "reason": str(error) or type(error).__name__}
