"""All voices of a worker as one: the bot's own first, and the others of the chain where it fails."""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from callbot.runtime.chain import Attempt, Link, streamed, unheard
from callbot.runtime.errors import ProviderError
from callbot.schemas.audio import BYTES_PER_MS, SILENCE_BYTE
from callbot.schemas.voices import VoiceInfo, folded
from callbot.tts_worker.counted_speech import TellUsed, counted, tell_nobody
from callbot.tts_worker.first_audio import in_time
from callbot.tts_worker.hedging import hedged
from callbot.tts_worker.synthesizer import Synthesizer, Voice
from callbot.tts_worker.urgency import WAITED_FOR, Urgency

PAUSE: Final = bytes((SILENCE_BYTE,)) * (120 * BYTES_PER_MS)
"""Between what was said of a sentence when its voice broke, and the whole sentence on another one."""
VOICE_REFUSED: Final = "voice_refused"
VOICE_LOST: Final = frozenset({"unknown_voice", "ambiguous_voice", VOICE_REFUSED})
MAY_BE_THE_VOICE: Final = frozenset({"refused", "out_of_quota"})
"""Vendors also say so of a voice that the operator's key may not use: one customer's, of many."""
LOCAL: Final = frozenset({"piper", "scripted"})
"""They share one machine among all sentences: a second request beside the first makes both slower."""
NOBODY_WAITS_S: Final = 60.0
"""What nobody waits for may give way for long."""
WARMED: Final = 2
Told = Callable[[Attempt], None]
log = logging.getLogger(__name__)


class ChainSynthesizer:
    """One for the worker. Each link's deadline is that of a link with another one behind it."""

    def __init__(
        self,
        links: Sequence[Link[Synthesizer]],
        *,
        last_deadline_s: float,
        fallback_voice: str = "",
        hedge: bool = True,
    ) -> None:
        """`last_deadline_s`: to the first audio, where nobody else could speak."""
        self._links = list(links)
        self._last_deadline_s = last_deadline_s
        self._fallback = Voice.of_bot(fallback_voice, "")
        self._hedge = hedge

    @property
    def ready(self) -> bool:
        return any(link.provider.ready for link in self._links)

    @property
    def voices(self) -> list[VoiceInfo]:
        """Of all providers that can speak, each voice once."""
        told = [info for link in self._links if link.provider.ready for info in link.provider.voices]
        return list({info.voice: info for info in told}.values())

    def may_have(self, voice: Voice) -> bool:
        """Could this very voice speak here? A vendor can know voices that it does not list."""
        link = self._link_of(voice)
        if link is None or not link.provider.ready:
            return False
        wanted = folded(voice.in_bot)
        return link.name not in LOCAL or any(folded(info.voice) == wanted for info in link.provider.voices)

    async def warm(self, voice: Voice) -> None:
        """A call with this voice begins. Raises nothing."""
        for link in self._order(voice, "")[:WARMED]:
            try:
                await link.provider.warm(self._spoken_with(link, voice))
            except Exception as e:
                # A provider is not ours to trust: the call does without its warmth.
                log.warning("a voice is not warm", extra={"provider": link.name, "reason": type(e).__name__})

    async def speak(
        self,
        text: str,
        voice: Voice,
        urgency: Urgency = WAITED_FOR,
        *,
        told: Told = unheard,
        tell_used: TellUsed = tell_nobody,
        first: str = "",
        alone: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """The text once; or what was said until its voice broke, a pause, and all of it on another voice.

        `told` hears of every attempt, `tell_used` of all that they cost. `first`: the provider to begin
        with, instead of the voice's own.
        `alone`: this very voice or none. What nobody waits for is not said again after a break.
        Raises ProviderError: nobody could say it, or say it again.
        """
        links = self._order(voice, first)
        if alone and not (links := [link for link in links if link is self._link_of(voice)]):
            raise ProviderError("unknown_voice", "its provider is not here", retryable=False)
        broken = False
        while True:
            answered = ""
            heard = False

            def tell(attempt: Attempt) -> None:
                nonlocal answered
                answered = attempt.provider if attempt.outcome == "answered" else answered
                told(attempt)

            attempt = self._attempt(text, voice, urgency, links, tell, tell_used, alone=alone)
            try:
                async with aclosing(attempt) as chunks:
                    async for chunk in chunks:
                        if broken and not heard:
                            yield PAUSE
                        heard = True
                        yield chunk
                return
            except ProviderError as e:
                links = _after_break(links, answered, e, again=not broken)
                # What nobody hears yet is better begun anew than spliced.
                if not heard or not links or not urgency.waited_for:
                    raise
                broken = True

    def _attempt(
        self,
        text: str,
        voice: Voice,
        urgency: Urgency,
        links: Sequence[Link[Synthesizer]],
        told: Told,
        tell_used: TellUsed,
        *,
        alone: bool,
    ) -> AsyncGenerator[bytes, None]:
        is_ahead = not urgency.waited_for
        deadlines_s = {link.name: link.deadline_s for link in self._with_deadlines(links)}

        def begin(link: Link[Synthesizer]) -> AsyncGenerator[bytes, None]:
            spoken_with = self._spoken_with(link, voice)
            is_local = link.name in LOCAL

            def once() -> AsyncGenerator[bytes, None]:
                if alone:
                    return _with_this_voice(link, text, spoken_with, urgency, tell_used)
                return _with_some_voice(link, text, spoken_with, urgency, told, tell_used)

            if is_ahead:
                return in_time(once(), urgency, deadlines_s[link.name], gives_way=is_local)
            return once() if is_local or not self._hedge else hedged(link, once)

        return streamed(_patient(links) if is_ahead else self._with_deadlines(links), begin, told=told)

    def _with_deadlines(self, links: Sequence[Link[Synthesizer]]) -> list[Link[Synthesizer]]:
        """The last one has nobody behind it."""
        last = [replace(link, deadline_s=self._last_deadline_s) for link in links[-1:]]
        return [*links[:-1], *last]

    def _link_of(self, voice: Voice) -> Link[Synthesizer] | None:
        named = [link for link in self._links if link.name == voice.provider]
        listing = (
            link for link in self._links if any(info.voice == voice.in_bot for info in link.provider.voices)
        )
        return named[0] if named else next(listing, None)

    def _order(self, voice: Voice, first: str) -> list[Link[Synthesizer]]:
        """Those that could speak, in the order in which they are asked. All, where none could."""
        own = self._link_of(voice)
        links = sorted(self._links, key=lambda link: (link.name != first, link is not own))
        return [link for link in links if link.provider.ready] or links

    def _spoken_with(self, link: Link[Synthesizer], voice: Voice) -> Voice:
        own = self._link_of(voice)
        if own is not None and link.name == own.name:
            return Voice(link.name, voice.name, voice.language)
        is_fallback = link.name == self._fallback.provider
        return Voice(link.name, self._fallback.name if is_fallback else "", voice.language)


def _patient(links: Sequence[Link[Synthesizer]]) -> list[Link[Synthesizer]]:
    """For a text that nobody waits for yet: `in_time` and the providers themselves know when it is late."""
    return [replace(link, deadline_s=NOBODY_WAITS_S, stall_s=NOBODY_WAITS_S) for link in links]


def _after_break(
    links: list[Link[Synthesizer]], answered: str, error: ProviderError, *, again: bool
) -> list[Link[Synthesizer]]:
    """Who may say it again: those behind the one that broke; where there are none, that one, once more."""
    names = [link.name for link in links]
    if answered not in names:
        return []
    at = names.index(answered)
    cause = error.__cause__ if isinstance(error.__cause__, ProviderError) else error
    return links[at + 1 :] or (links[at : at + 1] if again and cause.retryable else [])


async def _with_this_voice(
    link: Link[Synthesizer], text: str, voice: Voice, urgency: Urgency, tell_used: TellUsed
) -> AsyncGenerator[bytes, None]:
    """Raises ProviderError: `voice_refused` also for a key that is no good, which live calls find out."""
    try:
        async with aclosing(counted(link.provider, text, voice, urgency, tell_used)) as chunks:
            async for chunk in chunks:
                yield chunk
        return
    except ProviderError as e:
        if not voice.name or e.code not in MAY_BE_THE_VOICE:
            raise
        refused = ProviderError(VOICE_REFUSED, e.message, retryable=False)
    raise refused


async def _with_some_voice(
    link: Link[Synthesizer], text: str, voice: Voice, urgency: Urgency, told: Told, tell_used: TellUsed
) -> AsyncGenerator[bytes, None]:
    """By the wished voice; by the provider's default where it has no such voice. Raises ProviderError.

    What the default is refused as well is the key's fault.
    """
    heard = False
    try:
        async with aclosing(counted(link.provider, text, voice, urgency, tell_used)) as chunks:
            async for chunk in chunks:
                heard = True
                yield chunk
        return
    except ProviderError as e:
        if heard or not voice.name or e.code not in VOICE_LOST | MAY_BE_THE_VOICE:
            raise
        lost = VOICE_REFUSED if e.code in MAY_BE_THE_VOICE else e.code
        told(Attempt(link.name, "failed", error_code=lost))
    by_default = replace(voice, name="")
    async with aclosing(counted(link.provider, text, by_default, urgency, tell_used)) as chunks:
        async for chunk in chunks:
            yield chunk
