"""Number words as digits: "zero six douze trente-quatre" is 0 6 12 34. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from unicodedata import normalize

LONGEST: Final = 4
"""Words of a number below 100: "quatre-vingt-dix-sept"."""


@dataclass(frozen=True, slots=True)
class NumberWords:
    digits: Mapping[tuple[str, ...], str]
    """Words in lower case, as they follow each other → their digits."""
    hyphens: bool = True
    """Hyphens may stand between the words of one number."""

    def as_digits(self, said: Sequence[str]) -> list[str]:
        """Each number below 100 as one token of digits; other tokens stay as they are."""
        split = list(self._split(said))
        found: list[str] = []
        at = 0
        while at < len(split):
            count, digits = self._at([token.lower() for token in split[at : at + LONGEST]])
            found.append(digits if count else split[at])
            at += count or 1
        return found

    def _at(self, words: list[str]) -> tuple[int, str]:
        for count in range(len(words), 0, -1):
            if (digits := self.digits.get(tuple(words[:count]))) is not None:
                return count, digits
        return 0, ""

    def _split(self, said: Sequence[str]) -> Iterator[str]:
        for token in said:
            parts = token.split("-")
            in_words = self.hyphens and len(parts) > 1 and any((p.lower(),) in self.digits for p in parts)
            yield from (part for part in parts if part) if in_words else [token]


def listed(text: str, first: int = 0) -> dict[tuple[str, ...], str]:
    """Words that count up from `first`; variants by a slash."""
    return {
        tuple(variant.split("_")): str(number)
        for number, word in enumerate(normalize("NFC", text).split(), first)
        for variant in word.split("/")
    }


def tens(
    names: Mapping[int, str], units: Mapping[tuple[str, ...], str], *, joined: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], str]:
    """Twenty to ninety and what lies between; `joined`: words between ten and unit ("y"), each way of it."""
    found: dict[tuple[str, ...], str] = {}
    for ten, spelled in names.items():
        for name in spelled.split("/"):
            found[(name,)] = str(ten)
            for unit, digit in units.items():
                if 1 <= int(digit) <= 9:
                    found |= {(name, *between, *unit): str(ten + int(digit)) for between in joined}
    return found
