"""Is something being dictated: a phone number, a code, a spelled name, an e-mail address? Pure.

Speakers pause between the groups of a number, and each group sounds finished: only the words tell.
"""

import re
from enum import Enum, auto
from typing import Final


class Dictation(Enum):
    NONE = auto()
    GOES_ON = auto()
    WHOLE = auto()
    """As many digits as a phone number has. One may have been misheard."""
    ADDRESS = auto()
    """It ends as an address of the internet does."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBER_TALK: Final = re.compile(
    r"\b(account|card|cell|code|extension|mobile|number|order|phone|pin|zip|(call|reach|text) me)\b",
    re.IGNORECASE,
)
ADDRESS_BEGINS: Final = re.compile(r"\b(address|e-?mail) is(\s+\S+)?$", re.IGNORECASE)
"""With one word at most: an address of a street has more."""
ADDRESS_ENDS: Final = re.compile(
    r"[\w@](\.|\W+dot\W+)(at|biz|ca|ch|com|de|edu|es|eu|fr|gov|info|io|it|net|nl|org|uk|us)\W*$",
    re.IGNORECASE,
)
SPOKEN_DIGITS: Final = _words("zero oh one two three four five six seven eight nine double triple")
NAMED_BY_NUMBER: Final = _words(
    "apartment bus chapter exit flat flight floor gate highway house line page platform road room route "
    "section step suite table terminal track train unit"
)
BEFORE_A_TIME: Final = _words("about after around at before between by from past since till to until")
BEFORE_A_YEAR: Final = BEFORE_A_TIME | _words(
    "in of year january february march april may june july august september october november december"
)
BEFORE_AN_ANSWER: Final = _words("it's its is that's yes yeah no okay sure um uh")
MARKS: Final = _words("dot dash underscore hyphen slash backslash")
"""No sentence ends with them, nor with one word after them."""
SMALLEST_NUMBER: Final = 3
NATIONAL_DIGITS: Final = 10
"""Of North America with the area's code; with the country's (`+1`) there is one more (ITU-T E.164)."""
LOCAL_DIGITS: Final = 7
_LOCAL_PART: Final = re.compile(r"[a-z]{2,}[a-z0-9]*[._][a-z][a-z0-9]{2,}", re.IGNORECASE)
"""Of an address: "anna.miller"."""
AT_A_MARGIN: Final = ".,;:!?…\"'()–-"


def dictation(text: str) -> Dictation:
    """Of an utterance that has just gone quiet."""
    text = text.strip()
    tokens = [token for piece in text.split() if (token := piece.strip(AT_A_MARGIN))]
    if not tokens:
        return Dictation.NONE
    if ADDRESS_ENDS.search(text):
        return Dictation.ADDRESS
    if _spelling(tokens):
        return Dictation.GOES_ON
    return _number(text, tokens)


def _number(text: str, tokens: list[str]) -> Dictation:
    groups = _groups_at_the_end(tokens)
    digits = sum(map(len, groups))
    before = [token.lower() for token in _before_the_digits(tokens)]
    if not digits or not _is_dictated(groups, before, NUMBER_TALK.search(text) is not None):
        return Dictation.NONE
    abroad = "+" in text or before[-1:] == ["plus"]
    if digits >= NATIONAL_DIGITS + abroad:
        return Dictation.WHOLE
    # "492" after "6500" is rather three of ten digits, one of which was misheard.
    local = digits == LOCAL_DIGITS and not abroad and len(groups[-1]) != SMALLEST_NUMBER
    return Dictation.WHOLE if local else Dictation.GOES_ON


def _is_dictated(groups: list[str], before: list[str], talk: bool) -> bool:
    """Or is it an amount, a time, a year, the number of a room?"""
    digits = sum(map(len, groups))
    last_before = before[-1] if before else ""
    if last_before in NAMED_BY_NUMBER or _is_time(groups, last_before) or _is_year(groups, last_before):
        return False
    if talk:
        return digits >= 2 or last_before in BEFORE_AN_ANSWER
    if len(groups) > 1:
        return digits >= SMALLEST_NUMBER
    alone = not before or (len(before) <= 2 and last_before in BEFORE_AN_ANSWER)
    return alone and digits >= SMALLEST_NUMBER and not re.fullmatch(r"\d00|\d+000", groups[0])


def _is_time(groups: list[str], before: str) -> bool:
    """ "at 5 30"; with a colon it is no group at all."""
    if len(groups) != 2 or before not in BEFORE_A_TIME:
        return False
    hour, minute = groups
    return len(hour) <= 2 and int(hour) <= 24 and len(minute) == 2 and int(minute) < 60


def _is_year(groups: list[str], before: str) -> bool:
    """ "in 2024", "May 3 2024"."""
    year = len(groups[-1]) == 4 and groups[-1][:2] in ("19", "20")
    day = len(groups) == 2 and len(groups[0]) <= 2
    return year and before in BEFORE_A_YEAR and (day or len(groups) == 1)


def _groups_at_the_end(tokens: list[str]) -> list[str]:
    """The digits that the utterance ends with, as they were grouped. Prices and times are none."""
    groups: list[str] = []
    for token in reversed(tokens):
        if not (digits := _digits_of(token)):
            break
        groups[:0] = digits
    return groups


def _before_the_digits(tokens: list[str]) -> list[str]:
    count = len(tokens)
    while count and _digits_of(tokens[count - 1]):
        count -= 1
    return tokens[:count]


def _digits_of(token: str) -> list[str]:
    if token.lower() in SPOKEN_DIGITS:
        return ["00" if token.lower() == "triple" else "0"]
    if re.fullmatch(r"\d+\.\d\d?", token):
        return []
    parts = re.split(r"[-.()]+", token.lstrip("+"))
    return [part for part in parts if part] if all(part.isdigit() or not part for part in parts) else []


def _spelling(tokens: list[str]) -> bool:
    last = tokens[-1]
    if (
        not MARKS.isdisjoint(map(str.lower, tokens[-2:]))
        or "@" in last
        or ADDRESS_BEGINS.search(" ".join(tokens))
    ):
        return True
    if _letters_at_the_end(tokens) or _LOCAL_PART.fullmatch(last):
        return True
    spelled = _before_a_host(tokens)
    if spelled is not None:
        return _letters_at_the_end(spelled) or _is_acronym(spelled[-1])
    # Letters that a recogniser has joined: "KRL.", "It's KRL."
    alone = len(tokens) == 1 or (len(tokens) == 2 and tokens[0].lower() in BEFORE_AN_ANSWER)
    return alone and _is_acronym(last)


def _before_a_host(tokens: list[str]) -> list[str] | None:
    """What comes before "at" or "at example"; None where there is no such end."""
    for count in (1, 2):
        if len(tokens) > count and tokens[-count].lower() == "at":
            return tokens[:-count]
    return None


def _letters_at_the_end(tokens: list[str]) -> bool:
    """Two letters or more, or letters and digits, one by one."""
    letters: list[str] = []
    for token in reversed(tokens):
        parts = token.split("-")
        alone = all(len(part) == 1 and part.isalnum() for part in parts)
        # A recogniser that hears two or three letters as one: "VD-R-G".
        joined = len(parts) > 1 and all(part.isupper() and len(part) <= 3 for part in parts)
        if not (alone or joined):
            break
        letters += parts
    an_article = letters[-1:] in (["a"], ["I"]) and len(letters) == 2
    return len("".join(letters)) >= 2 and any(map(str.isalpha, letters)) and not an_article


def _is_acronym(token: str) -> bool:
    return token.isalpha() and token.isupper() and 2 <= len(token) <= 6 and token != "OK"
