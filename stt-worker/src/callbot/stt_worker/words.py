"""What the words so far say about the end of a turn. Pure; English, other languages by punctuation alone."""

import re
from enum import Enum, auto
from typing import Final


class Completeness(Enum):
    DONE = auto()
    UNSURE = auto()
    INCOMPLETE = auto()
    """A sentence that cannot end here: "I'd like a table for"."""
    COUNTING = auto()
    """In the middle of a number, or of something that is spelled."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BACKCHANNELS: Final = _words(
    "ah aha alright cool exactly fine good great hm hmm huh m mhm mm mmhmm oh ok okay right sure "
    "uh uhhuh um wow yeah yep yes yup"
)
"""What listeners say without wanting the floor (Ward and Tsukahara 2000, "Prosodic features which cue
back-channel responses"); the answer to a question is one of them too: who is speaking decides."""
WORDS_OF_A_BACKCHANNEL: Final = 3
ENDS_OPEN: Final = _words(
    "a about an and any are as at because but by can could do does for from have her his i if in "
    "into is it's its i'd i'll i'm i've like maybe my of on or our please so some than that's the "
    "their then there's they this to uh um was we we're well were what when where which who with "
    "would you your"
)
OPENINGS: Final = (
    "i would like",
    "i'd like",
    "i want",
    "i need",
    "my name is",
    "my number is",
    "my email is",
    "my address is",
    "the number is",
    "it is",
    "let me see",
    "let me think",
    "hold on",
    "one moment",
)
WHOLE_ANSWERS: Final = _words("bye goodbye hello hi no nope ok okay right stop sure thanks yeah yep yes yup")
SPOKEN_DIGITS: Final = _words("zero oh one two three four five six seven eight nine double triple hundred")
NUMBER_NOUNS: Final = re.compile(
    r"\b(number|phone|cell|mobile|code|zip|account|card|order|reference|pin)\b", re.IGNORECASE
)
PHONE_DIGITS: Final = frozenset({7, 10, 11, 12})
"""Of a whole number: local, national, with the country's code (North America, ITU-T E.164)."""
SPELLING_MARKS: Final = _words("at dot dash underscore hyphen slash plus")
MAIL_HOSTS: Final = _words("gmail yahoo hotmail outlook icloud example")
_TOKEN = re.compile(r"[a-z0-9@.'_+-]*[a-z0-9@_+]|[a-z0-9]", re.IGNORECASE)


def is_backchannel(text: str) -> bool:
    """Nothing but "mm-hm", "yeah", "okay"."""
    words = [re.sub(r"[^a-z]", "", word) for word in text.lower().split()]
    words = [word for word in words if word]
    return 0 < len(words) <= WORDS_OF_A_BACKCHANNEL and all(word in BACKCHANNELS for word in words)


def completeness(text: str, language: str = "en-US") -> Completeness:
    """Of an utterance that has just gone quiet."""
    text = text.strip()
    if not text:
        return Completeness.UNSURE
    if text.endswith(("...", "…", ",", "-", "–", ":", ";")):
        return Completeness.INCOMPLETE
    if not language.lower().startswith("en"):
        return Completeness.DONE if text.endswith((".", "?", "!")) else Completeness.UNSURE
    words = [word.lower().strip(".'") for word in _TOKEN.findall(text)]
    if not words:
        return Completeness.UNSURE
    if (counting := _counting(text, words)) is not None:
        return counting
    if words[-1] in ENDS_OPEN and not text.endswith("?"):
        return Completeness.INCOMPLETE
    if any(" ".join(words).endswith(opening) for opening in OPENINGS):
        return Completeness.INCOMPLETE
    whole = text.endswith(("?", "!")) or (len(words) <= 3 and words[-1] in WHOLE_ANSWERS)
    return Completeness.DONE if whole or text.endswith(".") else Completeness.UNSURE


def _counting(text: str, words: list[str]) -> Completeness | None:
    """COUNTING in the middle of digits or letters, DONE where they are whole, None where there are none."""
    digits, groups = _digits_at_the_end(words)
    if digits:
        dictated = groups >= 2 or digits >= 3 or NUMBER_NOUNS.search(text) is not None
        if not dictated:
            return None
        return (
            Completeness.DONE
            if digits in PHONE_DIGITS or digits > max(PHONE_DIGITS)
            else Completeness.COUNTING
        )
    if words[-1] in SPELLING_MARKS and len(words) >= 2 and _is_spelled(words[-2]):
        return Completeness.COUNTING
    if "@" in words[-1]:
        return Completeness.DONE if re.search(r"@.+\.[a-z]{2,}$", words[-1]) else Completeness.COUNTING
    if len(words) >= 2 and words[-2] == "dot" and len(words[-1]) in (2, 3, 4):
        return Completeness.DONE
    return Completeness.COUNTING if len(_letters_at_the_end(words)) >= 2 else None


def _digits_at_the_end(words: list[str]) -> tuple[int, int]:
    """How many digits the utterance ends with, and in how many groups they were said."""
    digits = groups = 0
    for word in reversed(words):
        plain = re.sub(r"[-+.()]", "", word)
        if plain.isdigit():
            digits += len(plain)
            groups += max(1, word.strip("-+.").count("-") + 1)
        elif word in SPOKEN_DIGITS:
            digits += 1
            groups += 1
        elif not (digits and word in ("and", "area", "code")):
            break
    return digits, groups


def _letters_at_the_end(words: list[str]) -> list[str]:
    letters = []
    for word in reversed(words):
        parts = word.split("-")
        if not all(len(part) == 1 and part.isalnum() for part in parts):
            break
        letters += parts
    return letters


def _is_spelled(word: str) -> bool:
    """A word before "at" or "dot" that is part of an address rather than of a sentence."""
    return "@" in word or len(word) == 1 or word.isdigit() or word in SPELLING_MARKS or word in MAIL_HOSTS
