"""The Twilio accounts of an emulated Twilio, as `callbot up` keeps them in its data directory."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

ACCOUNTS_FILE = "twilio-accounts.json"


@dataclass(frozen=True, slots=True)
class Account:
    """A Twilio account that the emulator plays."""

    sid: str = "AC" + "0" * 32
    auth_token: str | None = field(default="emulator-auth-token", repr=False)
    """None: its requests carry no signature."""


UNSIGNED = Account(auth_token=None)


@dataclass(frozen=True, slots=True)
class Accounts:
    platform: Account
    """The operator's: numbers for bots are bought with it."""
    customer: Account
    """Owns a number that no platform knows yet, for trying `POST /v1/connect-twilio`."""

    @classmethod
    def read(cls, data: Path) -> Self:
        """Raises OSError, ValueError."""
        told = json.loads((data / ACCOUNTS_FILE).read_text())
        return cls(Account(**told["platform"]), Account(**told["customer"]))

    def written(self) -> str:
        return json.dumps(asdict(self))
