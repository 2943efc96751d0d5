"""What the seats of a call have used, as it lies in the call's record: field `used_by_seat`.

Each holder of a seat has an entry of its own, which its newest report replaces: reports may come twice, late,
and in any order.
"""

from typing import Any, Final

from callbot.call_router.database import Document
from callbot.schemas.seats import Role
from callbot.schemas.usage import UsageTold, Used, summed

FIELD: Final = "used_by_seat"


def replacing(told: UsageTold) -> tuple[Document, Document]:
    """Which record takes this report (one that has no newer one of the same holder), and the update."""
    entry = f"{FIELD}.{told.seat}-{told.epoch}"
    kept = {
        "number": told.number,
        "last": told.last,
        "used": [used.model_dump(exclude_none=True) for used in told.used],
    }
    return {f"{entry}.number": {"$not": {"$gte": told.number}}}, {"$set": {entry: kept}}


def used_in(record: Document) -> tuple[list[Used], bool]:
    """All together, and whether that is all: each seat has had holders, and they all have told their last.

    A worker that has died has not: what it used since its last report nobody knows.
    """
    entries: dict[str, Any] = record.get(FIELD, {})
    used = summed(Used.model_validate(one) for entry in entries.values() for one in entry["used"])
    seats = {name.partition("-")[0] for name in entries}
    whole = seats == {*Role} and all(entry["last"] for entry in entries.values())
    return used, whole
