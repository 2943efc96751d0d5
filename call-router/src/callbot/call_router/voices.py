"""Which voices work here: the bucket that the tts-workers fill."""

from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.bots import ListVoices, VoiceList
from callbot.schemas.message import UserId


class Voices:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def list(self, user_id: UserId, question: ListVoices) -> VoiceList:
        raise Refused("internal_error", "not built yet")
