"""Fixed sentences, spoken ahead into the bucket `phrases`: raw mu-law at 8,000 bytes a second."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError

from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError, ProviderError, Refused
from callbot.schemas.memory import PHRASES
from callbot.schemas.message import Receipt
from callbot.schemas.subjects import PHRASES_SPEAK
from callbot.schemas.turn_taking import SpeakPhrases, phrase_key
from callbot.tts_worker.chain_synthesizer import ChainSynthesizer
from callbot.tts_worker.counted_speech import TellUsed, tell_nobody
from callbot.tts_worker.synthesizer import Voice
from callbot.tts_worker.urgency import Urgency

MAX_CHARACTERS: Final = 1000
MAX_AUDIO_BYTES: Final = 900_000
"""What fits into one message of the broker, and some room."""
ANSWER_WITHIN_S: Final = 8.0
"""Who was asked may answer for 10 s (`schemas.permissions`); what takes longer goes on without the asker."""
SPOKEN_WITHIN_S: Final = 60.0
STORED_WITHIN_S: Final = 4.0
REQUESTS_AT_ONCE: Final = 100
REMEMBERED: Final = 10_000
"""Phrases that are too long: to try them again is dear, and ends in the same way."""
log = logging.getLogger(__name__)


class TooLong(Exception):
    """More audio than may be stored."""


class PhraseSpeaker:
    """Of one worker. One phrase at a time, and each gives way to the sentences of live calls."""

    def __init__(self, bus: Bus, synthesizer: ChainSynthesizer, tell_used: TellUsed = tell_nobody) -> None:
        self._bus = bus
        self._tell_used = tell_used
        self._synthesizer = synthesizer
        self._one_at_a_time = asyncio.Lock()
        self._too_long: dict[str, None] = {}
        self._running: set[asyncio.Task[str]] = set()

    async def speak(self, asked: SpeakPhrases) -> Receipt:
        """When all is stored; not accepted: it takes longer and goes on.

        Raises Refused: `voice_unavailable` (another voice would speak, which nobody may store under this
        name), `text_too_long`, `busy`; when some are missing, `not_spoken` or `unavailable` (the bucket).
        """
        if not self._synthesizer.may_have(Voice.of_bot(asked.voice, asked.language)):
            raise Refused("voice_unavailable", "This voice does not work here at present.")
        if any(len(text) > MAX_CHARACTERS for text in asked.texts):
            raise Refused("text_too_long", f"A phrase has at most {MAX_CHARACTERS} characters.")
        if len(self._running) >= REQUESTS_AT_ONCE:
            raise Refused("busy", "Too many phrases wait to be spoken. Please try again.")
        work = asyncio.create_task(self._speak_all(asked))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({work}, timeout=ANSWER_WITHIN_S)
        if done and (code := work.result()):
            raise Refused(code, "Not all phrases could be stored.")
        return Receipt(accepted=bool(done))

    async def close(self) -> None:
        for work in self._running:
            work.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _speak_all(self, asked: SpeakPhrases) -> str:
        """Why something is missing; empty: nothing is."""
        code = ""
        for text in dict.fromkeys(asked.texts):
            try:
                async with self._one_at_a_time:
                    await self._speak_one(asked, text)
            except (BusError, NatsError) as e:
                # Without the bucket nothing can be stored: no core is burnt for it.
                log.warning("phrases cannot be stored", extra={"reason": str(e) or type(e).__name__})
                return "unavailable"
            except Exception as e:
                code, expected = "not_spoken", isinstance(e, ProviderError | TooLong | TimeoutError)
                log.warning(
                    "a phrase could not be spoken ahead",
                    extra={"reason": str(e) or type(e).__name__},
                    exc_info=None if expected else e,
                )
        return code

    async def _speak_one(self, asked: SpeakPhrases, text: str) -> None:
        """Raises TooLong, TimeoutError, BusError, NatsError, and what the provider raises."""
        spoken = " ".join(text.split())
        key = phrase_key(asked.voice, asked.language, text)
        if not spoken or await self._is_stored(key):
            return
        if key in self._too_long:
            raise TooLong("as it was the last time")
        try:
            async with asyncio.timeout(SPOKEN_WITHIN_S):
                audio = await self._synthesised(spoken, asked)
        except TooLong:
            self._too_long[key] = None
            if len(self._too_long) > REMEMBERED:
                del self._too_long[next(iter(self._too_long))]
            raise
        async with asyncio.timeout(STORED_WITHIN_S):
            bucket = await self._bus.bucket(PHRASES)
            await bucket.put(key, audio)
        log.info("a phrase was spoken ahead", extra={"phrase": key, "audio_ms": len(audio) // 8})

    async def _is_stored(self, key: str) -> bool:
        async with asyncio.timeout(STORED_WITHIN_S):
            bucket = await self._bus.bucket(PHRASES)
            try:
                return bool((await bucket.get(key)).value)
            except KeyNotFoundError:
                return False

    async def _synthesised(self, text: str, asked: SpeakPhrases) -> bytes:
        voice = Voice.of_bot(asked.voice, asked.language)
        audio = bytearray()
        # What is stored under a voice is heard as that voice for a month.
        speech = self._synthesizer.speak(
            text, voice, Urgency(waited_for=False), tell_used=self._tell_used, alone=True
        )
        async with aclosing(speech) as chunks:
            async for chunk in chunks:
                audio += chunk
                if len(audio) > MAX_AUDIO_BYTES:
                    raise TooLong(f"more than {MAX_AUDIO_BYTES} bytes of audio")
        if not audio:
            raise ProviderError("no_audio", "the text has no sound", retryable=False)
        return bytes(audio)


@asynccontextmanager
async def speaking_phrases(
    bus: Bus, synthesizer: ChainSynthesizer, tell_used: TellUsed = tell_nobody
) -> AsyncIterator[None]:
    """One worker of the group answers each request while the block runs. What it uses is no call's."""
    speaker = PhraseSpeaker(bus, synthesizer, tell_used)
    listening = await bus.answer(PHRASES_SPEAK, speaker.speak, queue=PHRASES_SPEAK.name)
    try:
        yield
    finally:
        await listening.stop()
        await speaker.close()
