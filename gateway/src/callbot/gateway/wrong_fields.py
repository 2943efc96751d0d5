"""What is wrong with the fields of a request, in sentences that say what would be right."""

from typing import NotRequired, TypedDict

from pydantic import ValidationError

MOST_FIELDS = 20
NOT_KNOWN = "is not a known field"
SENTENCES = {
    "account_sid": "must be AC and 32 hexadecimal digits, in lower case",
    "auth_token": "must be 1 to 100 printable ASCII characters without spaces",
    "bot_id": "must be 1 to 64 letters, digits, - or _",
    "call_id": "must be CA and 32 hexadecimal digits, in lower case",
    "key_id": "must be key_ and up to 32 letters and digits",
    "language": "must be a language tag such as en-US",
    "phone_number_sid": "must be PN and 32 hexadecimal digits, in lower case",
    "provider": "must be the name of a provider, such as elevenlabs",
    "timezone": "must be a name of the IANA time zone database, such as Europe/Berlin",
    "transfer_to": "must be a phone number in E.164, such as +14155550111",
    "webhook_secret": "must be 16 to 200 printable ASCII characters without spaces",
}
"""Of each field that has a pattern; nobody should have to read a regular expression."""


class WrongField(TypedDict):
    """One entry of the `details` of a 400."""

    field: str
    message: str
    candidates: NotRequired[list[str]]
    """What could have been meant."""


def wrong_fields(error: ValidationError) -> list[WrongField]:
    """Every field that is wrong, without what was sent."""
    told = error.errors(include_input=False, include_url=False, include_context=False)[:MOST_FIELDS]
    return [
        {
            "field": ".".join(map(str, one["loc"])) or "body",
            "message": _sentence(one["type"], one["loc"], one["msg"]),
        }
        for one in told
    ]


def _sentence(kind: str, place: tuple[int | str, ...], told: str) -> str:
    if kind == "extra_forbidden":
        return NOT_KNOWN
    if kind == "string_pattern_mismatch":
        return SENTENCES.get(str(place[-1]), "is not of the right form")
    return told.removeprefix("Value error, ")
