"""Which voices work here: the bucket that the tts-workers fill, each under its own id."""

import asyncio
import logging
import time

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from callbot.call_router.voice_names import KnownVoices
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.bots import VoiceStatus
from callbot.schemas.memory import VOICES
from callbot.schemas.message import UserId
from callbot.schemas.voices import ListVoices, VoiceInfo, VoiceList, WorkerVoices, fitting

FRESH_S = 2.0
READ_WITHIN_S = 0.5
STREAM = f"KV_{VOICES.name}"
"""Where a bucket's values lie (nats.py: js/kv.py)."""
ANY_KEY = ">"
NO_MESSAGE_FOUND = 10037
"""nats-server/server/errors.json, JSNoMessageFoundErr; a bucket that is missing is 10059."""
NOTHING = KnownVoices(())
Infos = list[VoiceInfo]
Told = list[bytes]
log = logging.getLogger(__name__)


class Voices:
    """What is known is at most two seconds old, older only while the bucket cannot be read."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: KnownVoices | None = None
        self._told: Told = []
        self._infos: dict[bytes, Infos] = {}
        self._read_at_s = -FRESH_S
        self._readable = True
        self._reading = asyncio.Lock()

    async def list(self, user_id: UserId, question: ListVoices) -> VoiceList:
        known = await self._working()
        if known is None:
            raise Refused("unavailable", "It is not known at the moment which voices work. Please try again.")
        return VoiceList(voices=fitting(known.wanted(question)))

    async def require_settable(self, voice: str) -> None:
        """Raises Refused (`invalid_request`, `ambiguous_voice`)."""
        (await self._working() or NOTHING).refuse_unsettable(voice)

    async def works(self, voice: str) -> bool:
        """False as well as long as nothing has been read: calls would use the fallback voice."""
        return voice in (await self._working() or NOTHING)

    async def status_in_call(self, voice: str) -> VoiceStatus:
        """`ok` as long as nothing has been read: no call records a fallback that nobody knows of."""
        known = await self._working()
        return VoiceStatus.FALLBACK if known is not None and voice not in known else VoiceStatus.OK

    async def _working(self) -> KnownVoices | None:
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
                self._keep(await self._all())
        except (NatsError, TimeoutError) as e:
            if self._readable:
                log.warning("the bucket of voices cannot be read", extra={"reason": type(e).__name__})
            self._readable = False
        else:
            self._readable = True
        self._read_at_s = time.monotonic()

    def _keep(self, told: Told) -> None:
        """Thousands of voices are not read again for each question, as they hardly ever change."""
        if self._known is not None and told == self._told:
            return
        self._infos = {data: self._infos.get(data) or _read_voices(data) for data in told}
        self._known = KnownVoices(info for data in told for info in self._infos[data])
        self._told = told

    async def _all(self) -> Told:
        """What the workers have told, each text once, in no order that depends on when."""
        js = self._bus.jetstream(READ_WITHIN_S)
        told: Told = []
        sequence = 1
        while True:
            try:
                message = await js.get_msg(STREAM, seq=sequence, subject=ANY_KEY, next=True)
            except NotFoundError as e:
                if e.err_code != NO_MESSAGE_FOUND:
                    raise
                # Replicas have the same voices, and take turns in telling them.
                return sorted(set(told))
            # A deleted key has no data.
            if message.data:
                told.append(message.data)
            sequence = (message.seq or sequence) + 1


def _read_voices(data: bytes) -> Infos:
    try:
        return WorkerVoices.decode(data).voices
    except ValidationError:
        log.error("voices that cannot be read", extra={"bytes": len(data)})
        return []
