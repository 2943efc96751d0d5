"""Polly's voices, their languages and engines.

https://docs.aws.amazon.com/polly/latest/dg/available-voices.html
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from callbot.runtime.errors import ProviderError

Engine = Literal["standard", "neural", "long-form", "generative"]
QUICKEST_FIRST: Final[tuple[Engine, ...]] = ("neural", "generative", "standard", "long-form")
USUAL: Final = {
    "arb": "Zeina",
    "ca-es": "Arlet",
    "cmn-cn": "Zhiyu",
    "da-dk": "Sofie",
    "de-at": "Hannah",
    "de-de": "Vicki",
    "en-au": "Olivia",
    "en-gb": "Amy",
    "en-in": "Kajal",
    "en-us": "Joanna",
    "es-es": "Lucia",
    "es-mx": "Mia",
    "es-us": "Lupe",
    "fr-ca": "Gabrielle",
    "fr-fr": "Lea",
    "hi-in": "Kajal",
    "it-it": "Bianca",
    "ja-jp": "Takumi",
    "ko-kr": "Seoyeon",
    "nl-nl": "Laura",
    "pl-pl": "Ola",
    "pt-br": "Camila",
    "pt-pt": "Ines",
    "sv-se": "Elin",
}
"""A voice with the neural engine for each language, but Zeina: Arabic has the standard one only."""
_USUAL_REGION: Final = {
    "ar": "arb",
    "en": "en-us",
    "es": "es-us",
    "fr": "fr-fr",
    "pt": "pt-br",
    "zh": "cmn-cn",
}
_OTHER_TAGS: Final = {"zh": "cmn", "no": "nb"}


@dataclass(frozen=True, slots=True)
class PollyVoice:
    id: str
    """`Joanna`; bots name voices by it."""
    language: str = ""
    others: tuple[str, ...] = ()
    """Languages that it speaks besides."""
    engines: tuple[str, ...] = ("neural",)

    def engine(self, wished: str) -> str:
        """`wished` where the voice has it, else the quickest of what it has."""
        if wished in self.engines:
            return wished
        return next((engine for engine in QUICKEST_FIRST if engine in self.engines), "standard")

    def told_language(self, language: str) -> str:
        """What has to be said of the language; empty: nothing, it is the voice's own or none of its."""
        if language.lower() == self.language.lower():
            return ""
        exact = (other for other in self.others if other.lower() == language.lower())
        return next(exact, "")

    def speaks(self, language: str) -> bool:
        return any(_same_language(one, language) for one in (self.language, *self.others))


class PollyVoices:
    def __init__(self, voices: Iterable[PollyVoice]) -> None:
        self._by_id = {voice.id.lower(): voice for voice in voices}

    def __iter__(self) -> Iterator[PollyVoice]:
        return iter(self._by_id.values())

    def named(self, name: str) -> PollyVoice | None:
        """In whatever case."""
        return self._by_id.get(name.lower())

    def best(self, language: str, wished: str) -> PollyVoice | None:
        """Of all that speak the language: its own region first, then those with the wished engine."""
        speaking = [voice for voice in self if voice.speaks(language)]
        return min(
            speaking,
            key=lambda v: (v.language.lower() != language.lower(), wished not in v.engines, v.id),
            default=None,
        )


def read_voices(page: Any) -> list[PollyVoice]:
    """Of an answer of DescribeVoices. Raises TypeError, KeyError, AttributeError for anything else."""
    return [
        PollyVoice(
            id=str(voice["Id"]),
            language=str(voice["LanguageCode"]),
            others=tuple(voice.get("AdditionalLanguageCodes") or ()),
            engines=tuple(voice.get("SupportedEngines") or ("standard",)),
        )
        for voice in page["Voices"]
    ]


def chosen(name: str, language: str, *, usual: str, engine: str, known: PollyVoices | None) -> PollyVoice:
    """The voice of a bot; an empty name is `usual` where that is set, else one of the language.

    `known` None: nothing has been listed yet, names are taken as they are. Raises ProviderError.
    """
    wished = name or usual or _usual(language)
    if known is None:
        found = PollyVoice(wished) if wished else None
    else:
        found = known.named(wished) or (None if name else known.best(language, engine))
    if found is not None:
        return found
    raise ProviderError("unknown_voice", "no such voice, or none in this language", retryable=False)


def _usual(language: str) -> str:
    tag = language.lower()
    first = tag.partition("-")[0]
    same = (usual for usual in USUAL if _same_language(usual, tag))
    return USUAL.get(tag) or USUAL.get(_USUAL_REGION.get(first, "")) or USUAL.get(next(same, ""), "")


def _same_language(one: str, other: str) -> bool:
    first, second = (tag.lower().partition("-")[0] for tag in (one, other))
    return _OTHER_TAGS.get(first, first) == _OTHER_TAGS.get(second, second)
