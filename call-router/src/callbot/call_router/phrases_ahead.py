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
GOES_ON_S = 30.0
"""So long a bot's next request waits while a worker still speaks the last one."""
log = logging.getLogger(__name__)


def phrases_of(bot: StoredBot) -> SpeakPhrases:
    return SpeakPhrases.of(voice=bot.voice, language=bot.language, greeting=bot.greeting, phrases=bot.phrases)


class PhrasesAhead:
    """One request of a bot at a time; of its changes meanwhile the newest counts."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._wanted: dict[str, SpeakPhrases] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def speak(self, bot: StoredBot) -> None:
        """Nobody waits for it: what is missing in a call is asked for by its gateway."""
        self._wanted[bot.id] = phrases_of(bot)
        if bot.id not in self._asking:
            self._asking[bot.id] = asyncio.create_task(self._ask_all(bot.id))

    async def _ask_all(self, bot_id: str) -> None:
        try:
            while (wanted := self._wanted.pop(bot_id, None)) is not None:
                if not await self._spoken(bot_id, wanted):
                    await asyncio.sleep(GOES_ON_S)
        finally:
            del self._asking[bot_id]

    async def _spoken(self, bot_id: str, wanted: SpeakPhrases) -> bool:
        """False: a worker is still at it."""
        try:
            return (await self._bus.ask(PHRASES_SPEAK, wanted, timeout_s=SPOKEN_WITHIN_S)).accepted
        except BusError as e:
            log.info("phrases not spoken ahead", extra={"bot_id": bot_id, "reason": str(e)})
            return True
