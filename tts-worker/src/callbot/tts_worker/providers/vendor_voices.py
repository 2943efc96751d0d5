"""A vendor's voices by their names: names are not unique there, and are looked up once."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from callbot.runtime.errors import ProviderError
from callbot.runtime.vendor_answers import within
from callbot.schemas.voices import VoiceInfo, folded
from callbot.tts_worker.providers.listing import Listing
from callbot.tts_worker.synthesizer import voice_info

log = logging.getLogger(__name__)

KNOWN_FOR_S: Final = 3600.0
MISSED_FOR_S: Final = 60.0
"""A name that was not found, or was not unique, may be put right at the vendor at any time."""
MAX_LISTED: Final = 1000
LONGEST_NAME: Final = 200
LOOKED_UP_WITHIN_S: Final = 10.0
REMEMBERED: Final = 10_000
"""Names: bots may have any, and each is a line in here."""


@dataclass(frozen=True, slots=True)
class VendorVoice:
    id: str
    name: str
    language: str = "und"
    """BCP 47; `und`: several, or not told."""


def chosen(provider: str, name: str, found: Sequence[VendorVoice]) -> VendorVoice:
    """The one that has exactly this name. Raises ProviderError (`unknown_voice`, `ambiguous_voice`)."""
    same = {v.id: v for v in found if folded(v.name) == folded(name)}
    if not same:
        raise ProviderError("unknown_voice", f"{provider} has no voice of this name", retryable=False)
    if len(same) > 1:
        candidates = ", ".join(f"{provider}:{id}" for id in sorted(same)[:10])
        raise ProviderError("ambiguous_voice", f"more than one: {candidates}", retryable=False)
    return next(iter(same.values()))


def told(provider: str, voices: Sequence[VendorVoice]) -> list[VoiceInfo]:
    """As a bot may wish them: by the name where only one has it, else by the id."""
    names = Counter(folded(voice.name) for voice in voices)
    infos = []
    for voice in voices:
        if len(voice.name) > LONGEST_NAME:
            # All that a worker can speak with is one message, which it could fill.
            continue
        unique = voice.name if names[folded(voice.name)] == 1 else ""
        try:
            info = voice_info(provider, unique, voice.language, voice_id=voice.id)
            infos.append(info.model_copy(update={"name": voice.name}))
        except ValueError:
            log.warning("a voice has a name that no bot can have", extra={"provider": provider})
    return infos


@dataclass(frozen=True, slots=True)
class _Found:
    until_s: float
    id: str
    error: tuple[str, str] = ("", "")
    """Code and message, where there is no id."""


class VoiceDirectory:
    """Use as an async context manager: while the block runs, it keeps a list of all voices.

    `search` finds voices by a name or by a part of it, `listing` all of them; both raise ProviderError.
    """

    def __init__(
        self,
        provider: str,
        *,
        is_id: Callable[[str], bool],
        search: Callable[[str], Awaitable[Sequence[VendorVoice]]],
        listing: Callable[[], Awaitable[Sequence[VendorVoice]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._is_id = is_id
        self._search = search
        self._ask_for_all = listing
        self._clock = clock
        self._found: dict[str, _Found] = {}
        self._searching: dict[str, asyncio.Task[str]] = {}
        self._listing = Listing(provider, self._list)

    async def __aenter__(self) -> Self:
        await self._listing.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in (searching := list(self._searching.values())):
            task.cancel()
        await asyncio.gather(*searching, return_exceptions=True)
        await self._listing.__aexit__(kind, error, trace)

    @property
    def voices(self) -> list[VoiceInfo]:
        """All that the vendor lists; empty until it has once answered."""
        return self._listing.latest or []

    async def id_of(self, name: str) -> str:
        """Waits for the vendor only the first time. Raises ProviderError."""
        if self._is_id(name):
            return name
        found = self._found.get(folded(name))
        if found is None or (self._is_over(found) and not found.id):
            return await asyncio.shield(self._search_for(name))
        if self._is_over(found):
            self._search_for(name)
        if found.id:
            return found.id
        raise ProviderError(*found.error, retryable=False)

    def forget(self, voice_id: str) -> None:
        """The vendor does not know it any more."""
        self._found = {name: found for name, found in self._found.items() if found.id != voice_id}

    def _is_over(self, found: _Found) -> bool:
        return self._clock() >= found.until_s

    def _search_for(self, name: str) -> asyncio.Task[str]:
        key = folded(name)
        if key not in self._searching:
            task = self._searching[key] = asyncio.create_task(self._look_up(name))
            task.add_done_callback(lambda _: self._searching.pop(key, None))
            # Read once: the one who asked may have gone, or have been content with the old id.
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._searching[key]

    async def _look_up(self, name: str) -> str:
        async with within(LOOKED_UP_WITHIN_S):
            found = await self._search(name)
        now_s = self._clock()
        try:
            voice = chosen(self._provider, name, found)
        except ProviderError as e:
            self._remember(name, _Found(now_s + MISSED_FOR_S, "", (e.code, e.message)))
            raise
        self._remember(name, _Found(now_s + KNOWN_FOR_S, voice.id))
        return voice.id

    def _remember(self, name: str, found: _Found) -> None:
        """The one that was looked up longest ago is forgotten."""
        self._found.pop(folded(name), None)
        self._found[folded(name)] = found
        if len(self._found) > REMEMBERED:
            del self._found[next(iter(self._found))]

    async def _list(self) -> list[VoiceInfo]:
        async with within(LOOKED_UP_WITHIN_S):
            return told(self._provider, (await self._ask_for_all())[:MAX_LISTED])
