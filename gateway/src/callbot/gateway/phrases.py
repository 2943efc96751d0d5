"""Sentences that need nobody when they are due: the package's, recorded in English, and those of each bot.

Every one that is recorded is in memory from the start. A bot's own, and ours in its language, come from the
bucket `phrases`, spoken ahead by a tts-worker in the bot's voice, into a bounded memory; what is not there
yet is asked for, and the recorded one stands in until it is.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError
from callbot.runtime.link_watch import LINK_ERRORS
from callbot.schemas.calls import CallBrief
from callbot.schemas.fixed_sentences import HELLO, ours_in
from callbot.schemas.memory import PHRASES
from callbot.schemas.subjects import PHRASES_SPEAK
from callbot.schemas.turn_taking import SpeakPhrases, phrase_key

log = logging.getLogger(__name__)
NAMES = (
    "hello",
    "one_moment",
    "not_understood",
    "still_there",
    "silent_goodbye",
    "apology",
    "goodbye",
    "ending_soon",
    "too_long",
    "nobody_answers",
)
MEMORY_BYTES = 64 * 1024 * 1024
"""About 2,000 sentences of four seconds."""
READ_WITHIN_S = 0.3
SPOKEN_WITHIN_S = 10.0
ASK_AGAIN_AFTER_S = 60.0
ASKED_REMEMBERED = 10_000


@dataclass(frozen=True)
class Phrase:
    text: str
    audio: bytes
    """Mu-law at 8 kHz."""


def load() -> dict[str, Phrase]:
    """All of ours; `python -m callbot.studio.record_phrases` speaks each text into the file beside it."""
    folder = files("callbot.gateway").joinpath("recorded")
    return {
        name: Phrase(
            folder.joinpath(f"{name}.txt").read_text().strip(),
            folder.joinpath(f"{name}.ulaw").read_bytes(),
        )
        for name in NAMES
    }


def texts_of(brief: CallBrief) -> SpeakPhrases:
    """What a bot may have to say at once: its greeting, its fixed sentences, and ours in its language."""
    return SpeakPhrases.of(
        voice=brief.voice, language=brief.language, greeting=brief.greeting, phrases=brief.phrases
    )


class PhraseMemory:
    """Audio by key, least recently used forgotten first, bounded by its bytes."""

    def __init__(self, room_bytes: int = MEMORY_BYTES) -> None:
        self._room = room_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> bytes | None:
        audio = self._kept.get(key)
        if audio is not None:
            self._kept.move_to_end(key)
        return audio

    def put(self, key: str, audio: bytes) -> None:
        self._bytes += len(audio) - len(self._kept.pop(key, b""))
        self._kept[key] = audio
        while self._bytes > self._room:
            self._bytes -= len(self._kept.popitem(last=False)[1])


class PhraseBook:
    """The fixed sentences of one call."""

    def __init__(self, brief: CallBrief, ours: Mapping[str, Phrase], memory: PhraseMemory) -> None:
        self._brief = brief
        self._ours = ours
        self._memory = memory

    def get(self, name: str) -> Phrase:
        """The bot's own where its audio is in memory, else ours in its language, else ours in English."""
        own = self._brief.greeting if name == HELLO else getattr(self._brief.phrases, name, None)
        for text in (own, ours_in(self._brief.language).get(name)):
            if text and (audio := self.spoken(text)):
                return Phrase(text, audio)
        return self._ours[name]

    def spoken(self, text: str) -> bytes | None:
        """This text in the bot's voice, if it is in memory."""
        return self._memory.get(phrase_key(self._brief.voice, self._brief.language, text))


class PhraseLibrary:
    """The phrases of one gateway. No failure in here is more than a sentence of ours instead of the bot's."""

    def __init__(self, bus: Bus) -> None:
        self.memory = PhraseMemory()
        self._ours = load()
        self._bus = bus
        self._bucket: KeyValue | None = None
        self._asked_at_s: OrderedDict[str, float] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def book(self, brief: CallBrief) -> PhraseBook:
        return PhraseBook(brief, self._ours, self.memory)

    def prefetch_soon(self, wanted: SpeakPhrases) -> None:
        """`prefetch` beside whatever the caller does next."""
        self._spawn(self.prefetch(wanted))

    async def prefetch(self, wanted: SpeakPhrases) -> None:
        """Into memory what the bucket has, within 300 ms; what it has not is asked for, in the background."""
        missing = await self._load(wanted)
        if missing is not None and missing.texts:
            self._spawn(self._ask_for(missing))

    async def _load(self, wanted: SpeakPhrases) -> SpeakPhrases | None:
        """Returns what the bucket does not have; None when it cannot be reached."""
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                found = await asyncio.gather(*(self._read(wanted, text) for text in wanted.texts))
        except (TimeoutError, BusError, *LINK_ERRORS) as e:
            log.info("phrases not read", extra={"reason": str(e) or type(e).__name__})
            return None
        texts = [text for text, there in zip(wanted.texts, found, strict=True) if not there]
        return wanted.model_copy(update={"texts": texts})

    async def _read(self, wanted: SpeakPhrases, text: str) -> bool:
        """Is it in memory now?"""
        key = phrase_key(wanted.voice, wanted.language, text)
        if self.memory.get(key) is not None:
            return True
        self._bus.require_link()
        if self._bucket is None:
            self._bucket = await self._bus.bucket(PHRASES)
        try:
            audio = (await self._bucket.get(key)).value
        except KeyNotFoundError:
            return False
        if audio:
            self.memory.put(key, audio)
        return bool(audio)

    async def _ask_for(self, missing: SpeakPhrases) -> None:
        """Once a minute for each text; what has been spoken comes into memory at once."""
        now_s = asyncio.get_running_loop().time()
        keys = {t: phrase_key(missing.voice, missing.language, t) for t in missing.texts}
        texts = [text for text, key in keys.items() if self._may_ask(key, now_s)]
        if not texts:
            return
        wanted = missing.model_copy(update={"texts": texts})
        try:
            await self._bus.ask(PHRASES_SPEAK, wanted, timeout_s=SPOKEN_WITHIN_S)
        except BusError as e:
            log.info("phrases not spoken", extra={"texts": len(texts), "reason": str(e)})
        else:
            await self._load(wanted)

    def _may_ask(self, key: str, now_s: float) -> bool:
        asked_at_s = self._asked_at_s.get(key)
        if asked_at_s is not None and now_s - asked_at_s < ASK_AGAIN_AFTER_S:
            return False
        self._asked_at_s[key] = now_s
        self._asked_at_s.move_to_end(key)
        while len(self._asked_at_s) > ASKED_REMEMBERED:
            self._asked_at_s.popitem(last=False)
        return True

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
