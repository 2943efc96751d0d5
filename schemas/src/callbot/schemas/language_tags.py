"""Language tags: `en-US`, `pt-BR`, `zh-Hant-TW` (BCP 47, RFC 5646)."""

from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

LONGEST_TAG: Final = 63
LANGUAGE_TAG: Final = (
    r"^(?:[A-Za-z]{2,3}(?:-[A-Za-z]{3}){0,3}"  # language
    r"(?:-[A-Za-z]{4})?"  # script
    r"(?:-(?:[A-Za-z]{2}|[0-9]{3}))?"  # region
    r"(?:-(?:[A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*"  # variants
    r"(?:-[0-9A-WY-Za-wy-z](?:-[A-Za-z0-9]{2,8})+)*"  # extensions
    r"(?:-[Xx](?:-[A-Za-z0-9]{1,8})+)?"  # private use
    r"|[Xx](?:-[A-Za-z0-9]{1,8})+)$"
)
"""Well-formed tags. Languages of four letters and more are left out: none is registered, and `english` is a
mistake. So are the 26 that are older than the rules (`i-klingon`)."""


def canonical(tag: str) -> str:
    """A well-formed tag in the usual case: `de-AT`, not `DE-at` (RFC 5646, 2.1.1)."""
    first, *others = tag.lower().split("-")
    written, in_an_extension = [first], len(first) == 1
    for part in others:
        in_an_extension |= len(part) == 1
        if in_an_extension or len(part) not in (2, 4) or not part.isalpha():
            written.append(part)
        else:
            written.append(part.upper() if len(part) == 2 else part.title())
    return "-".join(written)


def base_of(tag: str) -> str:
    """`pt` of `pt-BR`."""
    return tag.partition("-")[0].lower()


def region_of(tag: str) -> str:
    """`BR` of `pt-BR`, empty where none is named."""
    for part in tag.split("-")[1:]:
        if len(part) == 1:
            break
        if (len(part) == 2 and part.isalpha()) or (len(part) == 3 and part.isdigit()):
            return part.upper()
    return ""


Language = Annotated[
    str, StringConstraints(pattern=LANGUAGE_TAG, max_length=LONGEST_TAG), AfterValidator(canonical)
]
"""A tag as the API takes it: of a language that nobody here knows as well."""
