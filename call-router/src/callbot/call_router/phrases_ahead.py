"""A bot's fixed sentences, spoken before the first call needs them."""

import asyncio
import logging

from callbot.call_router.bot_store import StoredBot
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError
from callbot.schemas.subjects import PHRASES_SPEAK
from callbot.schemas.turn_taking import SpeakPhrases

SPOKEN = frozenset({"voice", "language", "greeting", "phrases"})
"""The fields of a bot that its sentences depend on."""
SPOKEN_WITHIN_S = 10.0
log = logging.getLogger(__name__)


def phrases_of(bot: StoredBot) -> SpeakPhrases:
    return SpeakPhrases.of(voice=bot.voice, language=bot.language, greeting=bot.greeting, phrases=bot.phrases)


class PhrasesAhead:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._tasks: set[asyncio.Task[None]] = set()

    def speak(self, bot: StoredBot) -> None:
        """Nobody waits for it: what is missing in a call is asked for by its gateway."""
        task = asyncio.create_task(self._ask(bot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, bot: StoredBot) -> None:
        try:
            await self._bus.ask(PHRASES_SPEAK, phrases_of(bot), timeout_s=SPOKEN_WITHIN_S)
        except BusError as e:
            log.info("phrases not spoken ahead", extra={"bot_id": bot.id, "reason": str(e)})
