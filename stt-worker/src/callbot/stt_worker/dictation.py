"""Is something being dictated: a phone number, a code, a spelled name, an e-mail address? Pure.

Speakers pause between the groups of a number, and each group sounds finished: only the words tell.
The words of other languages are in `languages`.
"""

import re
from typing import Final
from unicodedata import normalize

from callbot.schemas.language_tags import base_of, region_of
from callbot.stt_worker.languages.language_words import DictationWords, NumberLengths
from callbot.stt_worker.languages.number_words import NumberWords
from callbot.stt_worker.languages.tables import dictation_in, words_in
from callbot.stt_worker.languages.verdicts import Dictation as Dictation


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
ENGLISH: Final = DictationWords(
    number_talk=NUMBER_TALK,
    address_begins=ADDRESS_BEGINS,
    address_ends=ADDRESS_ENDS,
    named_by_number=NAMED_BY_NUMBER,
    before_a_time=BEFORE_A_TIME,
    before_a_year=BEFORE_A_YEAR,
    before_an_answer=BEFORE_AN_ANSWER,
    marks=MARKS,
    numbers=NumberWords(
        {(word,): "00" if word == "triple" else "0" for word in SPOKEN_DIGITS}, hyphens=False
    ),
    lengths={"": NumberLengths(NATIONAL_DIGITS, NATIONAL_DIGITS + 1, LOCAL_DIGITS)},
    at=_words("at"),
    short_words=_words("a I"),
)
MOST_NEUTRAL_DIGITS: Final = 9
"""Where a number of unknown length goes on for certain."""
_LOCAL_PART: Final = re.compile(r"[a-z]{2,}[a-z0-9]*[._][a-z][a-z0-9]{2,}", re.IGNORECASE)
"""Of an address: "anna.miller"."""
AT_A_MARGIN: Final = ".,;:!?…\"'()–-"


def dictation(text: str, language: str = "en-US") -> Dictation:
    """Of an utterance that has just gone quiet."""
    text = text.strip()
    known = words_in(language)
    if known is not None and (told := known.dictation(text)) is not None:
        return told
    table = ENGLISH if base_of(language) == "en" else dictation_in(language)
    return _in_digits(text) if table is None else _dictation(text, table, region_of(language))


def _dictation(text: str, table: DictationWords, region: str) -> Dictation:
    if table is not ENGLISH:
        text = normalize("NFC", text)
    tokens = _tokens(text)
    if not tokens:
        return Dictation.NONE
    if table.address_ends.search(text):
        return Dictation.ADDRESS
    if _spelling(tokens, table):
        return Dictation.GOES_ON
    lengths = table.lengths.get(region, table.lengths[""])
    return _number(text, table.numbers.as_digits(tokens), table, lengths)


def _in_digits(text: str) -> Dictation:
    """Of a language whose words are not known: groups of digits, too many for a time or a date."""
    groups = _groups_at_the_end(_tokens(text))
    digits = sum(map(len, groups))
    goes_on = len(groups) > 1 and 5 <= digits <= MOST_NEUTRAL_DIGITS and groups[-1][:2] not in ("19", "20")
    return Dictation.GOES_ON if goes_on else Dictation.NONE


def _tokens(text: str) -> list[str]:
    return [token for piece in text.split() if (token := piece.strip(AT_A_MARGIN))]


def _number(text: str, tokens: list[str], table: DictationWords, lengths: NumberLengths) -> Dictation:
    groups = _groups_at_the_end(tokens)
    digits = sum(map(len, groups))
    before = [token.lower() for token in _before_the_digits(tokens)]
    talk = table.number_talk.search(text) is not None
    if not digits or not _is_dictated(groups, before, table, talk=talk):
        return Dictation.NONE
    abroad = "+" in text or (bool(before) and before[-1] in table.plus)
    if digits >= (lengths.abroad if abroad else lengths.national):
        return Dictation.WHOLE
    # "492" after "6500" is rather three of ten digits, one of which was misheard.
    local = digits == lengths.local and not abroad and len(groups[-1]) != SMALLEST_NUMBER
    return Dictation.WHOLE if local else Dictation.GOES_ON


def _is_dictated(groups: list[str], before: list[str], table: DictationWords, *, talk: bool) -> bool:
    """Or is it an amount, a time, a year, the number of a room?"""
    digits = sum(map(len, groups))
    last_before = before[-1] if before else ""
    if last_before in table.named_by_number:
        return False
    if _is_time(groups, last_before, table) or _is_year(groups, last_before, table):
        return False
    if talk:
        return digits >= 2 or last_before in table.before_an_answer
    smallest = 2 if table.in_pairs and groups[0].startswith("0") else SMALLEST_NUMBER
    if len(groups) > 1:
        return digits >= smallest
    alone = not before or (len(before) <= 2 and last_before in table.before_an_answer)
    return alone and digits >= smallest and not re.fullmatch(r"\d00|\d+000", groups[0])


def _is_time(groups: list[str], before: str, table: DictationWords) -> bool:
    """ "at 5 30"; with a colon it is no group at all."""
    if len(groups) != 2 or before not in table.before_a_time:
        return False
    hour, minute = groups
    return len(hour) <= 2 and int(hour) <= 24 and len(minute) == 2 and int(minute) < 60


def _is_year(groups: list[str], before: str, table: DictationWords) -> bool:
    """ "in 2024", "May 3 2024"."""
    year = len(groups[-1]) == 4 and groups[-1][:2] in ("19", "20")
    day = len(groups) == 2 and len(groups[0]) <= 2
    return year and before in table.before_a_year and (day or len(groups) == 1)


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
    if re.fullmatch(r"\d+\.\d\d?", token):
        return []
    parts = re.split(r"[-.()]+", token.lstrip("+"))
    return [part for part in parts if part] if all(part.isdecimal() or not part for part in parts) else []


def _spelling(tokens: list[str], table: DictationWords) -> bool:
    last = tokens[-1]
    said = [token.lower() for token in tokens]
    if (
        not table.marks.isdisjoint(said[-2:])
        or "@" in last
        or table.address_begins.search(" ".join(tokens))
        or (len(tokens) > 1 and said[-1] in table.dots and _is_spelled(tokens[:-1], table))
    ):
        return True
    if _letters_at_the_end(tokens, table) or _LOCAL_PART.fullmatch(last):
        return True
    # "M wie Martha"
    if len(tokens) > 2 and said[-2] in table.spelled_as and tokens[-3] not in table.short_words:
        return len(tokens[-3]) == 1 and tokens[-3].isalpha()
    spelled = _before_a_host(said, tokens, table)
    if spelled is not None:
        return _is_spelled(spelled, table)
    # Letters that a recogniser has joined: "KRL.", "It's KRL."
    alone = len(tokens) == 1 or (len(tokens) == 2 and said[0] in table.before_an_answer)
    return alone and _is_acronym(last)


def _is_spelled(tokens: list[str], table: DictationWords) -> bool:
    return _letters_at_the_end(tokens, table) or _is_acronym(tokens[-1])


def _before_a_host(said: list[str], tokens: list[str], table: DictationWords) -> list[str] | None:
    """What comes before "at" or "at example"; None where there is no such end."""
    for count in (1, 2):
        if len(tokens) > count and said[-count] in table.at:
            return tokens[:-count]
    return None


def _letters_at_the_end(tokens: list[str], table: DictationWords) -> bool:
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
    a_word = len(letters) == 2 and letters[-1] in table.short_words
    return len("".join(letters)) >= 2 and any(map(str.isalpha, letters)) and not a_word


def _is_acronym(token: str) -> bool:
    return token.isalpha() and token.isupper() and 2 <= len(token) <= 6 and token != "OK"
