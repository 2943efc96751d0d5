"""What a bot's voice means among those that work here. Pure."""

from collections.abc import Iterable
from typing import Final

from callbot.runtime.errors import Refused
from callbot.schemas.language_tags import base_of
from callbot.schemas.voices import (
    VOICE_PROVIDERS,
    ListVoices,
    VoiceInfo,
    folded,
    provider_of,
    wanted_form,
)

MAX_CANDIDATES: Final = 10
ANY_LANGUAGE: Final = "und"
"""Of a voice that has several, or whose vendor does not say."""


class KnownVoices:
    """Names are compared without letter case, as the voices' own providers do; ids are not."""

    def __init__(self, infos: Iterable[VoiceInfo]) -> None:
        self._by_voice = {info.voice: info for info in infos}
        self._providers = {info.provider for info in self._by_voice.values()}
        self._settable: set[str] = set()
        self._of_name: dict[str, set[str]] = {}
        for info in self._by_voice.values():
            by_id = f"{info.provider}:{info.id}"
            self._settable.add(by_id if info.id else folded(info.voice))
            if info.voice != by_id:
                self._settable.add(folded(info.voice))
            self._of_name.setdefault(folded(f"{info.provider}:{info.name}"), set()).add(info.voice)

    def __contains__(self, voice: str) -> bool:
        """By its name or by its id, whichever the bot has."""
        return voice in self._settable or folded(voice) in self._settable

    def wanted(self, question: ListVoices) -> list[VoiceInfo]:
        """In the order of their names."""
        return [info for _, info in sorted(self._by_voice.items()) if _is_wanted(info, question)]

    def refuse_unsettable(self, voice: str) -> None:
        """A voice that is not among them is accepted: its vendor may know it, or it falls back.

        Raises Refused: `invalid_request` for a provider that nobody has, `ambiguous_voice` for a name that
        several voices have.
        """
        providers = {*VOICE_PROVIDERS, *self._providers}
        provider = provider_of(voice)
        if provider not in providers:
            raise Refused("invalid_request", f"voice: {wanted_form(providers)}", {"field": "voice"})
        same = sorted(self._of_name.get(folded(voice), ()))
        if len(same) > 1 and voice not in self:
            # None of them has a space in it.
            candidates = " ".join(same[:MAX_CANDIDATES])
            raise Refused(
                "ambiguous_voice",
                f"voice: {len(same)} voices of {provider} have this name: set one of {candidates}",
                {"field": "voice", "candidates": candidates},
            )


def _is_wanted(info: VoiceInfo, question: ListVoices) -> bool:
    if question.provider not in (None, info.provider):
        return False
    if question.language is None or info.language in (ANY_LANGUAGE, question.language):
        return True
    return question.language == base_of(question.language) == base_of(info.language)
