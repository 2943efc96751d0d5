"""What providers cost the operator, from a file of theirs; nothing here knows a price."""

import tomllib
from collections.abc import Iterable
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from callbot.runtime.errors import SettingsError
from callbot.schemas.usage import CallCost, UsageRecord, UsageRole, Used

PER: Final = {
    "per_minute": ("stt", "seconds", Decimal(60)),
    "per_million_characters": ("tts", "characters", Decimal(1_000_000)),
    "per_million_tokens_in": ("llm", "tokens_in", Decimal(1_000_000)),
    "per_million_tokens_out": ("llm", "tokens_out", Decimal(1_000_000)),
}
"""Field of a price → whose it is, what it counts, how many of those it buys."""
DIGITS: Final = 6
Amount = Annotated[Decimal, Field(ge=0, le=10**9, allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Price(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    role: UsageRole
    provider: Name
    model: Name = "*"
    """`*` stands for anything, also in a part of it: `aura-2*`."""
    per_minute: Amount | None = None
    per_million_characters: Amount | None = None
    per_million_tokens_in: Amount | None = None
    per_million_tokens_out: Amount | None = None

    @model_validator(mode="after")
    def _of_its_role(self) -> Self:
        wanted = {field for field, (role, _, _) in PER.items() if role == self.role}
        given = {field for field in PER if getattr(self, field) is not None}
        if wanted != given:
            raise ValueError(f"a price of {self.role} has {' and '.join(sorted(wanted))}, and no other")
        return self

    def fits(self, used: Used) -> bool:
        return (self.role, self.provider) == (used.role, used.provider) and fnmatchcase(
            used.model, self.model
        )

    def of(self, used: Used) -> Decimal:
        amounts = (
            Decimal(str(getattr(used, counted) or 0)) * getattr(self, field) / size
            for field, (role, counted, size) in PER.items()
            if role == self.role
        )
        return sum(amounts, Decimal(0))


class Prices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    """ISO 4217."""
    price: tuple[Price, ...] = ()
    """The first that fits counts."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises SettingsError."""
        try:
            # Amounts stay what is written: 0.1 is not a binary fraction.
            return cls.model_validate(tomllib.loads(path.read_text("utf-8"), parse_float=Decimal))
        except OSError as e:
            raise SettingsError(f"CALLBOT_PRICES: {path} cannot be read: {e.strerror}") from e
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise SettingsError(f"CALLBOT_PRICES: {path} is no TOML: {e}") from e
        except ValidationError as e:
            raise SettingsError(f"CALLBOT_PRICES: {path}: {_first_of(e)}") from None

    def of(self, used: Used) -> Decimal | None:
        fitting = next((price for price in self.price if price.fits(used)), None)
        return None if fitting is None else fitting.of(used)


def priced(
    used: Iterable[Used], prices: Prices | None, *, counted: bool
) -> tuple[list[UsageRecord], CallCost | None]:
    """`counted`: all that will be used has been told. Without prices nothing has a cost."""
    records, total, complete = [], Decimal(0), counted
    for one in used:
        cost = prices.of(one) if prices else None
        total += cost or 0
        complete = complete and cost is not None
        records.append(UsageRecord(**one.model_dump(), cost=None if cost is None else _told(cost)))
    if prices is None:
        return records, None
    return records, CallCost(amount=_told(total), currency=prices.currency, complete=complete)


def _told(amount: Decimal) -> float:
    return round(float(amount), DIGITS)


def _first_of(error: ValidationError) -> str:
    """`price 3: role: …`, counting from 1."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = [str(part + 1) if isinstance(part, int) else str(part) for part in first["loc"]]
    return f"{' '.join(where)}: {first['msg'].removeprefix('Value error, ')}"
