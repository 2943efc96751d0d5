"""What is known of a language's words; the tables themselves are in the modules beside this one.

A language whose words are not known is left to silence and prosody: no table is better than a wrong one.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from callbot.stt_worker.languages.number_words import NumberWords
from callbot.stt_worker.languages.verdicts import Completeness, Dictation

ENDS: Final = (".", "?", "!", "।", "。", "？", "！")
WORDS_OF_A_BACKCHANNEL: Final = 3


def words(text: str) -> frozenset[str]:
    """A table's words, as `tokens` gives them."""
    return frozenset(tokens(text))


def lines(text: str) -> tuple[str, ...]:
    """A table's phrases, by commas."""
    return tuple(" ".join(tokens(phrase)) for phrase in text.split(","))


def tokens(text: str) -> list[str]:
    """Words in lower case, without the punctuation around them. Vowel signs of Hindi belong to a word."""
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'")
    kept = (piece.strip("'-") for piece in _split(text))
    return [piece for piece in kept if piece]


def _split(text: str) -> list[str]:
    return "".join(c if c in "'-" or unicodedata.category(c)[0] in "LMN" else " " for c in text).split()


class LanguageWords(Protocol):
    def is_backchannel(self, text: str) -> bool:
        """Nothing but "mm-hm", "ja", "claro"."""

    def completeness(self, text: str) -> Completeness:
        """Of a sentence that is neither a backchannel nor dictated."""

    def dictation(self, text: str) -> Dictation | None:
        """None: as its `DictationWords` tell."""


@dataclass(frozen=True, slots=True)
class SpacedLanguage:
    """A language that puts spaces between its words."""

    backchannels: frozenset[str]
    backchannel_phrases: tuple[str, ...]
    """Of several words."""
    never_last: frozenset[str]
    """Whatever the punctuation says: a recogniser ends whatever it hears with a full stop."""
    maybe_last: frozenset[str]
    """They end a sentence, or what somebody says who goes on: "mit" in "Ich komme mit."."""
    beginnings: frozenset[str]
    """Alone they say that the speaker is about to speak."""
    openings: tuple[str, ...]
    """Something follows, soon or late: "mi nombre es"."""
    closings: tuple[str, ...]
    """Whole without any punctuation: "vielen Dank"."""
    alone: frozenset[str] = frozenset()
    """Of `never_last`, what is an answer by itself: "Eine.", "Ohne."."""
    stranded: frozenset[str] = frozenset()
    """Of `never_last`, what ends a question: "Vous êtes où ?"."""

    def is_backchannel(self, text: str) -> bool:
        left, count = tokens(text), 0
        while left:
            length = self._first_backchannel(left)
            if not length:
                return False
            left, count = left[length:], count + 1
        return 0 < count <= WORDS_OF_A_BACKCHANNEL

    def _first_backchannel(self, left: list[str]) -> int:
        """Of how many words; 0: it begins with something else."""
        for length in (4, 3, 2):
            if " ".join(left[:length]) in self.backchannel_phrases and len(left) >= length:
                return length
        word = left[0].replace("-", "")
        return int(word in self.backchannels or not word.strip("hmn"))

    def completeness(self, text: str) -> Completeness:
        said = tokens(text)
        if not said:
            return Completeness.UNSURE
        whole, last, asked = " ".join(said), said[-1], text.endswith(("?", "？"))
        if whole in self.beginnings:
            return Completeness.INCOMPLETE
        if last in self.never_last and not (asked and last in self.stranded):
            return Completeness.UNSURE if whole in self.alone else Completeness.INCOMPLETE
        if not asked and _ends_with(whole, self.openings):
            return Completeness.INCOMPLETE
        if last in self.maybe_last:
            return Completeness.UNSURE
        done = text.endswith(ENDS) or _ends_with(whole, self.closings)
        return Completeness.DONE if done else Completeness.UNSURE

    def dictation(self, text: str) -> Dictation | None:
        return None


def _ends_with(said: str, phrases: tuple[str, ...]) -> bool:
    return f" {said}".endswith(tuple(f" {phrase}" for phrase in phrases))


@dataclass(frozen=True, slots=True)
class NumberLengths:
    """Digits of a phone number as it is said in its country; ITU-T E.164 has at most 15."""

    national: int
    abroad: int
    """With `+` and the country's code."""
    local: int = 0
    """Without the area's code; 0: the shorter number cannot be told from one that goes on."""


@dataclass(frozen=True, slots=True)
class DictationWords:
    """What stands before and within what is dictated."""

    number_talk: re.Pattern[str]
    """A number is what this is about."""
    address_begins: re.Pattern[str]
    """At the end of what was said: an address of the internet follows."""
    address_ends: re.Pattern[str]
    named_by_number: frozenset[str]
    before_a_time: frozenset[str]
    before_a_year: frozenset[str]
    before_an_answer: frozenset[str]
    marks: frozenset[str]
    """No sentence ends with them, nor with one word after them."""
    numbers: NumberWords
    lengths: Mapping[str, NumberLengths]
    """By region; "" stands for the others."""
    at: frozenset[str] = frozenset()
    """They may be the sign of an address, or an ordinary word."""
    dots: frozenset[str] = frozenset()
    """The same, within an address or at the end of it."""
    plus: frozenset[str] = field(default_factory=lambda: frozenset({"plus"}))
    spelled_as: frozenset[str] = frozenset()
    """"wie" in "M wie Martha"."""
    in_pairs: bool = False
    """Numbers are said in pairs of digits: the first may be "06"."""
    short_words: frozenset[str] = frozenset()
    """Words of one letter, as they are written."""


_TOP_LEVELS: Final = "at be biz br ca ch com de edu es eu fr gov in info io it jp mx net nl org pt uk us"


def ends_as_address(dots: str, *, but: str = "", more: str = "") -> re.Pattern[str]:
    """`dots`: what a dot is called, by `|`. `but`: endings that are words of the language. `more`: others."""
    written = "|".join(_TOP_LEVELS.split())
    said = "|".join([*(ending for ending in _TOP_LEVELS.split() if ending not in but.split()), *more.split()])
    return re.compile(rf"[\w@](?:\.(?:{written})|\W+(?:{dots})\W+(?:{said}))\W*$", re.IGNORECASE)
