"""The names of Google's voices: `en-US-Chirp3-HD-Aoede`, and what is left out in `Aoede`.

https://cloud.google.com/text-to-speech/docs/list-voices-and-types
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from callbot.runtime.errors import ProviderError

_FULL_NAME: Final = re.compile(r"([a-z]{2,3}-[a-z0-9]{2,4})-([a-z0-9-]+)", re.IGNORECASE)
_NEWEST: Final = "Chirp3-HD"
_STREAMING: Final = ("chirp3-hd-", "chirp-hd-", "journey-")
_BEST_FIRST: Final = ("chirp3-hd-", "chirp-hd-", "neural2-", "studio-", "wavenet-", "standard-")
_OTHER_TAGS: Final = {"zh": "cmn", "no": "nb"}
"""BCP 47's macro-languages, as Google's voices have them."""
_USUAL_REGION: Final = {
    "cmn": "CN",
    "da": "DK",
    "en": "US",
    "hi": "IN",
    "ja": "JP",
    "ko": "KR",
    "nb": "NO",
    "pt": "BR",
    "sv": "SE",
    "uk": "UA",
    "vi": "VN",
}
"""Of those languages whose region is not their own name in capitals (`de-DE`)."""


@dataclass(frozen=True, slots=True)
class GoogleVoice:
    name: str
    """`en-US-Chirp3-HD-Aoede`."""

    @property
    def locale(self) -> str:
        """`en-US`; the vendor refuses a voice together with another language."""
        return _parts(self.name)[0]

    @property
    def kind_and_name(self) -> str:
        """`Chirp3-HD-Aoede`."""
        return _parts(self.name)[1]

    @property
    def kind(self) -> str:
        """`Chirp3-HD`; each has its price."""
        return self.kind_and_name.rpartition("-")[0]

    @property
    def short_name(self) -> str:
        """`Aoede`, of the newest kind; empty: it has none that says enough."""
        return self.kind_and_name.rpartition("-")[2] if self.kind == _NEWEST else ""

    @property
    def streams(self) -> bool:
        """Does StreamingSynthesize have it?"""
        return self.kind_and_name.lower().startswith(_STREAMING)


class GoogleVoices:
    """All that are listed, but Gemini's speakers: those have no language in their names, and need a model."""

    def __init__(self, names: Iterable[str]) -> None:
        voices = [GoogleVoice(name) for name in sorted(set(names)) if is_full(name)]
        self._by_name = {voice.name.lower(): voice for voice in voices}
        self._by_locale: dict[str, list[GoogleVoice]] = {}
        for voice in voices:
            self._by_locale.setdefault(voice.locale.lower(), []).append(voice)

    def __iter__(self) -> Iterator[GoogleVoice]:
        return iter(self._by_name.values())

    def named(self, name: str) -> GoogleVoice | None:
        """Its full name, in whatever case."""
        return self._by_name.get(name.lower())

    def short(self, name: str, language: str) -> GoogleVoice | None:
        """`Aoede`, `Chirp3-HD-Aoede`, `Neural2-A`: in the language's own region, then in its others.

        Raises ProviderError `ambiguous_voice`.
        """
        for voices in self._nearest_first(language):
            found = [voice for voice in voices if _ends(voice.kind_and_name, name)]
            newest = [v for v in found if v.kind_and_name.lower() == f"{_NEWEST}-{name}".lower()]
            if len(found) > 1 and not newest:
                # Names of the vendor's own list, which are no secret.
                candidates = ", ".join(voice.name for voice in found[:8])
                raise ProviderError("ambiguous_voice", f"one of {candidates}", retryable=False)
            if found:
                return (newest or found)[0]
        return None

    def best(self, language: str) -> GoogleVoice | None:
        for voices in self._nearest_first(language):
            return min(voices, key=lambda voice: (_rank(voice), voice.name))
        return None

    def _nearest_first(self, language: str) -> Iterator[list[GoogleVoice]]:
        first = locale_of(language).lower()
        if first in self._by_locale:
            yield self._by_locale[first]
        usual = locale_of(first.partition("-")[0]).lower()
        others = [locale for locale in self._by_locale if _same_language(locale, first) and locale != first]
        for locale in sorted(others, key=lambda locale: (locale != usual, locale)):
            yield self._by_locale[locale]


def is_full(name: str) -> bool:
    return _FULL_NAME.fullmatch(name) is not None


def chosen(name: str, language: str, *, usual: str, known: GoogleVoices | None) -> GoogleVoice:
    """The voice of a bot; an empty name is `usual`, or the best of the language where that one has it not.

    `known` may be None only for full names and the empty one. Raises ProviderError.
    """
    if is_full(name):
        # Not all voices are listed (some are given to single customers): the vendor may know more.
        return (known.named(name) if known else None) or GoogleVoice(name)
    if not name and is_full(usual) and _same_language(usual, language):
        return chosen(usual, language, usual="", known=known)
    if known is None:
        return GoogleVoice(f"{locale_of(language)}-{_NEWEST}-{usual}")
    # The usual voice may be another language's, by its full name.
    wished = name or (_parts(usual)[1] if is_full(usual) else usual)
    voice = known.short(wished, language) or (known.best(language) if not name else None)
    if voice is None:
        raise ProviderError("unknown_voice", "no such voice in this language", retryable=False)
    return voice


def locale_of(language: str) -> str:
    """Google's `en-US` for BCP 47's `en`, `en-us`, `en-Latn-US`."""
    first, *rest = language.split("-")
    first = _OTHER_TAGS.get(first.lower(), first.lower())
    regions = [part.upper() for part in rest if len(part) in (2, 3)]
    return f"{first}-{regions[0] if regions else _USUAL_REGION.get(first, first.upper())}"


def _parts(name: str) -> tuple[str, str]:
    match = _FULL_NAME.fullmatch(name)
    assert match is not None
    return match[1], match[2]


def _ends(kind_and_name: str, name: str) -> bool:
    return f"-{kind_and_name}".lower().endswith(f"-{name}".lower())


def _rank(voice: GoogleVoice) -> int:
    name = voice.kind_and_name.lower()
    return next((n for n, kind in enumerate(_BEST_FIRST) if name.startswith(kind)), len(_BEST_FIRST))


def _same_language(one: str, other: str) -> bool:
    return locale_of(one).partition("-")[0] == locale_of(other).partition("-")[0]
