"""Which voices work here: the bucket that the tts-workers fill, each under its own id."""

import asyncio
import logging
import time

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.bots import ListVoices, VoiceInfo, VoiceList, VoiceStatus, WorkerVoices
from callbot.schemas.memory import VOICES
from callbot.schemas.message import UserId

FRESH_S = 2.0
READ_WITHIN_S = 0.5
STREAM = f"KV_{VOICES.name}"
"""Where a bucket's values lie (nats.py: js/kv.py)."""
ANY_KEY = ">"
NO_MESSAGE_FOUND = 10037
"""nats-server/server/errors.json, JSNoMessageFoundErr; a bucket that is missing is 10059."""
Known = dict[str, VoiceInfo]
log = logging.getLogger(__name__)


class Voices:
    """What is known is at most two seconds old, older only while the bucket cannot be read."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: Known | None = None
        self._read_at_s = -FRESH_S
        self._readable = True
        self._reading = asyncio.Lock()

    async def list(self, user_id: UserId, question: ListVoices) -> VoiceList:
        known = await self._working()
        if known is None:
            raise Refused("unavailable", "It is not known at the moment which voices work. Please try again.")
        return VoiceList(voices=[known[voice] for voice in sorted(known)])

    async def works(self, voice: str) -> bool:
        """False as well as long as nothing has been read: calls would use the fallback voice."""
        return _is_among(voice, await self._working() or {})

    async def status_in_call(self, voice: str) -> VoiceStatus:
        """`ok` as long as nothing has been read: no call records a fallback that nobody knows of."""
        known = await self._working()
        return VoiceStatus.FALLBACK if known is not None and not _is_among(voice, known) else VoiceStatus.OK

    async def _working(self) -> Known | None:
        """None: nothing could be read so far."""
        if self._is_fresh() or (self._reading.locked() and self._known is not None):
            return self._known
        async with self._reading:
            # Who waited here while another one read, has it now.
            if not self._is_fresh():
                await self._read()
        return self._known

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._read_at_s < FRESH_S

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                self._known = await self._all()
        except (NatsError, TimeoutError) as e:
            if self._readable:
                log.warning("the bucket of voices cannot be read", extra={"reason": type(e).__name__})
            self._readable = False
        else:
            self._readable = True
        self._read_at_s = time.monotonic()

    async def _all(self) -> Known:
        """One worker's voices after the other's, in the order in which they were told."""
        js = self._bus.jetstream(READ_WITHIN_S)
        known: Known = {}
        sequence = 1
        while True:
            try:
                told = await js.get_msg(STREAM, seq=sequence, subject=ANY_KEY, next=True)
            except NotFoundError as e:
                if e.err_code != NO_MESSAGE_FOUND:
                    raise
                return known
            # A deleted key has no data.
            if told.data:
                known |= _read_voices(told.data)
            sequence = (told.seq or sequence) + 1


def _is_among(voice: str, known: Known) -> bool:
    """By its name or by its id, whichever the bot has."""
    provider, _, voice_id = voice.partition(":")
    return voice in known or any(
        info.provider == provider and info.id == voice_id for info in known.values() if info.id
    )


def _read_voices(data: bytes) -> Known:
    try:
        return {info.voice: info for info in WorkerVoices.decode(data).voices}
    except ValidationError:
        log.error("voices that cannot be read", extra={"bytes": len(data)})
        return {}
