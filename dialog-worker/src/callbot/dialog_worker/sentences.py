"""Text as it streams in, cut into sentences that can be spoken at once.

Where to cut is decided as soon as the text that decides it is there, so the result never depends on how the
text was split into pieces. In doubt nothing is cut: a cut too few costs some time, one too many is heard.
"""

import re

from callbot.dialog_worker.sentence_rules import MAX_CHARACTERS as MAX_CHARACTERS
from callbot.dialog_worker.sentence_rules import SentenceRules, rules_for
from callbot.dialog_worker.spoken import spoken

_BREAK = re.compile(r"[.!?…؟۔。！？｡।॥\n]")
_STOPS = re.compile(r"[.!?…؟۔。！？｡।॥]+")
_GAP = re.compile(r"\s*")
_NO_SPACE_NEEDED = re.compile(r"[。！？｡।॥]")
_SURE = re.compile(r"[!?؟]")
_WORD_CHARACTER = re.compile(r"[^\W_]")
_LIST_NUMBER = re.compile(r"[\W_]*\d{1,3}[.)]\W*")
_SOFT_BREAK = re.compile(r"[,;:](?=\s)|[，、；：]|\s(?=[–—-]\s)")
_SPACE = re.compile(r"\s")
_BETWEEN_WORDS = re.compile(r"(?<=[ぁ-ん])(?=[ァ-ヺ一-鿿「『0-9A-Za-z])")
"""Where Japanese writes no space, a word that is not written in hiragana mostly begins a phrase."""
_LETTER_WITHOUT_SPACE = re.compile(r"[「『ぁ-ヺ一-鿿ऀ-ॣ]")
_QUOTED = re.compile(r"[」』]")
_QUOTE_GOES_ON = re.compile(r"[とっを]")
"""「はい。」と言う"""

_OPENERS = "\"'“‘„‚«([{¿¡*_~`"
_OPENS_A_SENTENCE = "¿¡"
_INITIALS = re.compile(r"[^\W\d_](\.[^\W\d_])+|[A-HJ-Z]")


class SentenceCutter:
    """Takes text piece by piece, gives each sentence as soon as it is whole."""

    def __init__(self, max_characters: int | None = None, *, language: str = "en-US") -> None:
        """`language`: a BCP 47 tag; by default pieces are as long as its rules allow."""
        self._rules = rules_for(language)
        self._max = max_characters or self._rules.max_characters
        self._text = ""

    def feed(self, piece: str) -> list[str]:
        """The sentences that this piece completes."""
        self._text += piece
        return self._cut(final=False)

    def finish(self) -> list[str]:
        """What is left when the text has ended."""
        sentences = self._cut(final=True)
        rest, self._text = spoken(self._text), ""
        return [*sentences, rest] if rest else sentences

    def _cut(self, *, final: bool) -> list[str]:
        sentences: list[str] = []
        while True:
            self._text = self._text.lstrip()
            end = self._first_end(final=final)
            if end is None:
                return sentences
            sentence, self._text = spoken(self._text[:end]), self._text[end:]
            if sentence:
                sentences.append(sentence)

    def _first_end(self, *, final: bool) -> int | None:
        """Where the first sentence ends; None where none does, or the text that tells is not there yet."""
        at = 0
        while found := _BREAK.search(self._text, at, self._max):
            ends, at = _judge(self._text, found.start(), self._rules, final=final)
            if at > self._max:
                break
            if ends is not False:
                return at if ends else None
        return _soft_end(self._text, self._max) if len(self._text) > self._max else None


def cut(text: str, language: str = "en-US") -> list[str]:
    """The sentences of a whole text."""
    cutter = SentenceCutter(language=language)
    return cutter.feed(text) + cutter.finish()


def _judge(text: str, at: int, rules: SentenceRules, *, final: bool) -> tuple[bool | None, int]:
    """Do the stops, or the line break, at `at` end a sentence? None: the text that tells is not there yet.

    Also gives the position behind them and the quotes and brackets that close with them.
    """
    if text[at] == "\n":
        return _is_sentence(text[:at]), at + 1
    stops = _match(_STOPS, text, at)
    closers = _match(rules.closers, text, at + len(stops))
    end = at + len(stops) + len(closers)
    gap = _match(_GAP, text, end)
    after = text[end + len(gap) :].lstrip(_OPENS_A_SENTENCE)[:1]
    if not after and not final:
        return None, end
    if not _is_sentence(text[:end]):
        return False, end
    if "\n" in gap:
        return True, end
    if _NO_SPACE_NEEDED.search(stops):
        return bool(gap) or not _quote_goes_on(closers, after), end
    if not gap and text[end : end + 1] not in _OPENS_A_SENTENCE:
        sure = _SURE.search(stops) and _LETTER_WITHOUT_SPACE.match(after)
        return bool(sure) and not _quote_goes_on(closers, after), end
    return _ends(text[:at], stops, closers, after, rules), end


def _quote_goes_on(closers: str, after: str) -> bool:
    return _QUOTED.search(closers) is not None and _QUOTE_GOES_ON.match(after) is not None


def _ends(before: str, stops: str, closers: str, after: str, rules: SentenceRules) -> bool:
    """Do `stops` end a sentence, `before` them and with `after` as the next character behind a space?"""
    goes_on = after.islower()
    if after and _STOPS.match(after):
        return False
    if _SURE.search(stops):
        return not (closers and goes_on)
    if goes_on:
        return False
    return stops != "." or not _is_abbreviation(_last_word(before), after, rules)


def _is_abbreviation(word: str, after: str, rules: SentenceRules) -> bool:
    lower = word.lower()
    if rules.last_before_capital.fullmatch(lower):
        return False
    if rules.never_before_number.fullmatch(lower) and not rules.never_last.fullmatch(lower):
        return after.isdigit()
    return bool(rules.never_last.fullmatch(lower) or _INITIALS.fullmatch(word))


def _is_sentence(text: str) -> bool:
    """Is there something to say in it, more than the number of a list's item?"""
    return _WORD_CHARACTER.search(text) is not None and _LIST_NUMBER.fullmatch(text) is None


def _last_word(text: str) -> str:
    words = text[-40:].split()
    return words[-1].lstrip(_OPENERS) if words and not text[-1:].isspace() else ""


def _soft_end(text: str, limit: int) -> int:
    """Where to cut a sentence that is too long: a comma in its second half, between words, else anywhere."""
    for pattern, first in ((_SOFT_BREAK, limit // 2), (_BETWEEN_WORDS, limit // 2), (_SPACE, 1)):
        ends = [m.end() for m in pattern.finditer(text, first, limit + 1) if m.end() <= limit]
        if ends:
            return ends[-1]
    return limit


def _match(pattern: re.Pattern[str], text: str, at: int) -> str:
    found = pattern.match(text, at)
    return found.group() if found else ""
