"""What a call has used of its providers, as their vendors bill it, and what that costs."""

from collections.abc import Iterable
from typing import Final, Literal

from callbot.schemas.message import BotId, CallId, Message, UserId

UsageRole = Literal["stt", "llm", "tts"]
AMOUNTS: Final = ("seconds", "characters", "tokens_in", "tokens_out")


class Used(Message):
    """What was used of one provider's model. Of the four amounts a role has its own, the others are null."""

    role: UsageRole
    provider: str
    """Its name in `CALLBOT_STT`, `CALLBOT_LLM` or `CALLBOT_TTS`."""
    model: str = ""
    """What decides the price beside the provider: a model, or the kind of a voice. Empty: not known."""
    seconds: float | None = None
    """stt: of audio that it was given."""
    characters: int | None = None
    """tts: of the texts that it was given."""
    tokens_in: int | None = None
    """llm: of the prompts."""
    tokens_out: int | None = None
    """llm: of the replies."""
    estimated: bool = False
    """The server has not told some of the tokens: four characters were taken for one."""


class SeatUsage(Message):
    """What the holder of a seat has used so far. It replaces what the same holder has told before.

    Answered when it is stored. Refused with `unavailable`: to be told again.
    """

    call_id: CallId
    bot_id: BotId
    user_id: UserId
    seat: Literal["ears", "mind", "mouth"]
    epoch: int
    """Of the holder: it and the seat say whose sums these are."""
    number: int
    """Of this report among those of the same holder; the greatest counts, whatever order they come in."""
    last: bool = False
    """The seat has been given up: nothing more will be used."""
    used: list[Used]


class UsageTold(Message):
    """A report of a seat's holder, as an event of the call.

    With the number 0 the gateway's: that holder was lost. If it lives, its own reports replace this one.
    """

    kind: Literal["usage"] = "usage"
    seat: Literal["ears", "mind", "mouth"]
    epoch: int
    number: int
    last: bool = False
    used: list[Used]


class UsageRecord(Used):
    """A call's use of one model of one provider."""

    cost: float | None = None
    """In the currency of the call's `cost`; null: there is no price for it."""


class CallCost(Message):
    """By the prices of today, whenever the call was."""

    amount: float
    currency: str
    """As the operator has written it; `USD`."""
    complete: bool
    """False: something has no price, or may not have been counted, so that it has cost more than this."""


def summed(used: Iterable[Used]) -> list[Used]:
    """One for each role, provider and model, in this order."""
    sums: dict[tuple[str, str, str], Used] = {}
    for one in used:
        key = (one.role, one.provider, one.model)
        sums[key] = _sum(sums[key], one) if key in sums else one
    return [sums[key] for key in sorted(sums)]


def _sum(one: Used, other: Used) -> Used:
    amounts = {name: _add(getattr(one, name), getattr(other, name)) for name in AMOUNTS}
    return one.model_copy(update={**amounts, "estimated": one.estimated or other.estimated})


def _add(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    # A thousandth of a second is the finest that anybody counts.
    return one + other if isinstance(one, int) else round(one + other, 3)
