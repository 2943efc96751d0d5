"""`python -m callbot.call_router.rotate`: seals every secret anew under the first key of its ring.

The way to a new key: put it last into the ring of every replica and restart them, so that all of them can
read what it seals; then put it first and restart them again; then run this. Once it says that nothing is left
and the longest call is over (live calls carry a copy), the old key can go. May be run again at any time, also
while the service works: a secret that changes meanwhile keeps its change.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from callbot.call_router.database import Database, Document
from callbot.call_router.mongo import open_database
from callbot.call_router.settings import Settings, ring_of
from callbot.call_router.user_store import auth_token_of
from callbot.runtime.errors import CallbotError
from callbot.runtime.sealing import CannotOpen, Sealing, webhook_secret_of
from callbot.runtime.settings import wrong_settings

PAGE = 200


@dataclass(frozen=True)
class SealedField:
    """Where a kind of secret lies."""

    name: str
    collection: str
    key: str
    """Unique; the order in which the documents are visited."""
    field: str
    """Dotted, as in a query."""
    ring: str
    belongs_to: Callable[[Document], str]


SEALED_FIELDS = (
    SealedField(
        "webhook secrets",
        "bots",
        "id",
        "sealed_webhook_secret",
        "webhook_keys",
        lambda bot: webhook_secret_of(bot["id"]),
    ),
    SealedField(
        "Twilio auth tokens",
        "users",
        "user_id",
        "number.sealed_auth_token",
        "secret_keys",
        lambda user: auth_token_of(user["user_id"]),
    ),
    SealedField(
        "Twilio auth tokens of unsettled numbers",
        "numbers",
        "phone_number_sid",
        "sealed_auth_token",
        "secret_keys",
        lambda number: auth_token_of(number["user_id"]),
    ),
)


@dataclass
class Count:
    sealed: int = 0
    """Anew, now."""
    fresh: int = 0
    """Already under the first key, or changed by somebody else meanwhile."""
    lost: int = 0
    """No key of the ring opens them."""


async def rotate(database: Database, settings: Settings) -> dict[str, Count]:
    """By the name of each kind of secret. Raises StoreUnavailable, StoreRejected."""
    return {
        sealed.name: await _rotate(database, sealed, Sealing(ring_of(getattr(settings, sealed.ring))))
        for sealed in SEALED_FIELDS
    }


async def _rotate(database: Database, sealed: SealedField, sealing: Sealing) -> Count:
    collection, count, after = database.collection(sealed.collection), Count(), ""
    while True:
        wanted = {sealed.field: {"$exists": True}, sealed.key: {"$gt": after}}
        page = await collection.many(wanted, sort=[(sealed.key, 1)], limit=PAGE)
        for document in page:
            found = _at(document, sealed.field)
            belongs_to = sealed.belongs_to(document)
            try:
                opened = sealing.open(found, belongs_to)
            except CannotOpen:
                count.lost += 1
                continue
            if sealing.is_newest(found):
                count.fresh += 1
                continue
            again = sealing.seal(opened, belongs_to)
            same = {sealed.key: document[sealed.key], sealed.field: found}
            if await collection.update(same, {"$set": {sealed.field: again}}):
                count.sealed += 1
            else:
                count.fresh += 1
        if len(page) < PAGE:
            return count
        after = page[-1][sealed.key]


def _at(document: Document, field: str) -> str:
    found: Any = document
    for part in field.split("."):
        found = found[part]
    return str(found)


async def _run(settings: Settings) -> bool:
    """False: something could not be opened."""
    async with open_database(settings.mongo_url, settings.mongo_database) as database:
        counts = await rotate(database, settings)
    for name, count in counts.items():
        print(f"{name}: {count.sealed} sealed anew, {count.fresh} were fresh, {count.lost} cannot be opened")
    return not any(count.lost for count in counts.values())


def main() -> None:
    try:
        settings = Settings()
    except ValidationError as e:
        sys.exit(f"the settings are wrong: {wrong_settings(e, Settings)}")
    try:
        everything = asyncio.run(_run(settings))
    except CallbotError as e:
        sys.exit(f"not finished, run it again: {e}")
    sys.exit(0 if everything else 1)


if __name__ == "__main__":
    main()
