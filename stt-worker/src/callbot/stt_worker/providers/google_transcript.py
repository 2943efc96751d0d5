"""What Google has understood of a call, stream by stream, and which of it lies in a stretch. Pure.

Each stream hears one part of the call. Parts touch in a pause; where one had to end within speech, the next
has heard the last seconds too, and times of words (or, without them, the words themselves) join the two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Final

SLACK_MS: Final = 150
"""A result that ends so short before the end of what was asked has heard the last word."""
EDGE_MS: Final = 80
"""A word that ends so close to where a stream was ended may be half a word."""
SPACELESS: Final = frozenset({"ja", "zh", "cmn", "yue", "th", "lo", "km", "my"})
LONGEST_OVERLAP_WORDS: Final = 16
KEPT_PARTS: Final = 8

Silent = Callable[[int, int], bool]
"""Is there surely no word between these milliseconds of the call?"""


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Settled:
    """It will not change. From the end of the result before it in its stream."""

    text: str
    from_ms: int
    to_ms: int
    words: Sequence[Word] = ()
    """Empty: not every model tells when each was said."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What an interim result says of all that came after the last settled one."""

    text: str
    to_ms: int
    stability: float


@dataclass(slots=True, eq=False)
class Part:
    """What one stream hears; its words count from `from_ms` to `to_ms`."""

    heard_from_ms: int
    from_ms: int
    to_ms: int | None = None
    """None: it goes on."""
    torn_ms: int | None = None
    """It was ended here, within speech."""
    over: bool = False
    settled: list[Settled] = field(default_factory=list)
    guess: Guess | None = None

    @property
    def settled_ms(self) -> int:
        return self.settled[-1].to_ms if self.settled else self.heard_from_ms

    def settle(self, text: str, to_ms: int, words: Sequence[Word] = ()) -> None:
        """A result that is there already is not taken twice."""
        self.guess = None
        if to_ms > self.settled_ms:
            self.settled.append(Settled(text, self.settled_ms, to_ms, words))

    def end(self, to_ms: int) -> None:
        """Nothing more will come; what was only guessed is all there is."""
        if self.guess is not None:
            self.settle(self.guess.text, self.guess.to_ms)
        self.over = True
        self.to_ms = to_ms if self.to_ms is None else self.to_ms


class Transcript:
    def __init__(self, language: str) -> None:
        self._between = "" if language.split("-")[0].lower() in SPACELESS else " "
        self._parts: list[Part] = []
        self._asked_from_ms: int | None = None
        self._floor_ms = 0
        self._answered_ms = 0
        """What lies before it was handed out, to this utterance or one before it."""
        self.guessed = False
        """The last answer has words that Google has not settled."""

    @property
    def parts(self) -> Sequence[Part]:
        return self._parts

    @property
    def needed_from_ms(self) -> int:
        """No question will be about what was before."""
        return self._floor_ms

    def add(self, part: Part, after: Part | None = None) -> None:
        """`after`: it goes on where that one stopped; by default the last."""
        at = len(self._parts) if after is None else self._parts.index(after) + 1
        self._parts.insert(at, part)
        while (
            len(self._parts) > KEPT_PARTS and self._parts[1].over and self._parts[1].from_ms < self._floor_ms
        ):
            del self._parts[0]

    def mend(self, part: Part) -> None:
        """Ended within speech and over: its last word, if it may be a half one, is the next part's."""
        if part.torn_ms is None or not part.over:
            return
        seam_ms = part.torn_ms
        last = part.settled[-1].words[-1:] if part.settled else ()
        if last and last[0].to_ms >= seam_ms - EDGE_MS:
            seam_ms = last[0].from_ms
        for follower in self._parts[self._parts.index(part) + 1 :]:
            if follower.from_ms == part.torn_ms:
                follower.from_ms = seam_ms
        part.to_ms = seam_ms

    def begin(self, from_ms: int) -> None:
        """Words are asked for from there on."""
        if from_ms != self._asked_from_ms:
            self._floor_ms = self._floor_of(from_ms)
            self._asked_from_ms = from_ms

    def answer(self, to_ms: int, silent: Silent, stability: float) -> str | None:
        """The words until there, where they are certain. None: not yet. Raises nothing."""
        texts, answered_ms, any_guessed = [], to_ms, False
        for part in self._parts:
            if part.from_ms >= to_ms or (part.to_ms is not None and part.to_ms <= self._floor_ms):
                continue
            until_ms = to_ms if part.to_ms is None else min(to_ms, part.to_ms)
            guessed = ""
            if not part.over and not self._covers(part, part.settled_ms, until_ms, silent):
                if not self._may_guess(part, until_ms, silent, stability):
                    return None
                guessed = part.guess.text if part.guess else ""
            texts += [*self._settled_in(part, to_ms), guessed]
            any_guessed = any_guessed or bool(guessed)
            answered_ms = self._answered_by(part, to_ms, guessed)
            if part.torn_ms is not None and part.torn_ms >= to_ms:
                break
        self._answered_ms, self.guessed = answered_ms, any_guessed
        return self._joined(texts)

    def so_far(self, from_ms: int) -> str:
        """Settled or not."""
        floor_ms = self._floor_ms if from_ms == self._asked_from_ms else self._floor_of(from_ms)
        texts = []
        for number, part in enumerate(self._parts):
            texts += self._settled_in(part, None, floor_ms)
            guess = part.guess
            if guess is None or guess.to_ms <= floor_ms:
                continue
            overlaps = part.heard_from_ms < part.from_ms
            if overlaps or part.settled_ms >= min(floor_ms, part.from_ms):
                texts.append(self._without_overlap(number, guess.text))
        return self._joined(texts)

    def _floor_of(self, from_ms: int) -> int:
        if self._asked_from_ms is None or from_ms < self._asked_from_ms:
            return from_ms
        # After speech that was torn the next utterance has its torn word too, which lies before it.
        torn = any(p.torn_ms is not None and p.to_ms == self._answered_ms for p in self._parts)
        return self._answered_ms if torn else max(from_ms, self._answered_ms)

    def _covers(self, part: Part, heard_ms: int, until_ms: int, silent: Silent) -> bool:
        if part.torn_ms is not None:
            return False
        if heard_ms > part.heard_from_ms and heard_ms >= until_ms - SLACK_MS:
            return True
        return silent(max(heard_ms, self._floor_ms), until_ms)

    def _may_guess(self, part: Part, until_ms: int, silent: Silent, stability: float) -> bool:
        """Only of what is this utterance's alone: a guess does not tell when each word was said."""
        guess = part.guess
        if guess is None or guess.stability < stability or part.settled_ms < part.from_ms:
            return False
        alone = part.settled_ms >= self._floor_ms or silent(part.settled_ms, self._floor_ms)
        return alone and self._covers(part, guess.to_ms, until_ms, silent)

    def _answered_by(self, part: Part, to_ms: int, guessed: str) -> int:
        if part.to_ms is not None and (part.over or part.to_ms >= to_ms):
            return part.to_ms
        wordless = bool(part.settled) and not part.settled[-1].words
        return part.settled_ms if wordless and not guessed else to_ms

    def _settled_in(self, part: Part, to_ms: int | None, floor_ms: int | None = None) -> list[str]:
        begin_ms = max(self._floor_ms if floor_ms is None else floor_ms, part.from_ms)
        ends = [ms for ms in (to_ms, part.to_ms) if ms is not None]
        end_ms = min(ends) if ends else None
        number = self._parts.index(part)
        return [self._of(number, s, begin_ms, end_ms) for s in part.settled]

    def _of(self, number: int, settled: Settled, begin_ms: int, end_ms: int | None) -> str:
        if not settled.words:
            inside = settled.to_ms > begin_ms and (end_ms is None or settled.from_ms < end_ms)
            return self._without_overlap(number, settled.text) if inside else ""
        words = [w for w in settled.words if _lies_in(w, begin_ms, end_ms)]
        whole = len(words) == len(settled.words)
        return settled.text if whole else self._between.join(w.text for w in words)

    def _without_overlap(self, number: int, text: str) -> str:
        part = self._parts[number]
        if part.heard_from_ms == part.from_ms or number == 0:
            return text
        before = self._joined([s.text for s in self._parts[number - 1].settled])
        return new_words(before, text)

    def _joined(self, texts: Sequence[str]) -> str:
        return self._between.join(t for t in (text.strip() for text in texts) if t)


def _lies_in(word: Word, begin_ms: int, end_ms: int | None) -> bool:
    """By its middle."""
    middle_ms = (word.from_ms + word.to_ms) / 2
    return middle_ms >= begin_ms and (end_ms is None or middle_ms < end_ms)


def new_words(before: str, text: str) -> str:
    """`text` without what it repeats of the end of `before`; the words where they meet may be torn."""
    old, new = before.split()[-LONGEST_OVERLAP_WORDS:], text.split()
    plain = [[w.strip(".,;:!?").lower() for w in words] for words in (old, new[:LONGEST_OVERLAP_WORDS])]
    run = SequenceMatcher(None, plain[0], plain[1], autojunk=False).find_longest_match()
    if run.size == 0 or run.b > 1 or run.a + run.size < len(old) - 1:
        return text
    return " ".join(new[run.b + run.size :])
