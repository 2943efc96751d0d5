"""What the stores need of a database: few operations on documents. `mongo.py` is the one that does them.

Only strings, numbers, times, lists and maps of ours reach a query; operators are written by the stores alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from callbot.runtime.errors import CallbotError

Document = dict[str, Any]
Query = Mapping[str, Any]
Keys = Sequence[tuple[str, int]]
"""Fields with 1 (ascending) or -1 (descending)."""
SCHEMA_VERSION = 2
"""Of the documents; `migrations.py` brings older ones here."""


class StoreUnavailable(CallbotError):
    """The database does not answer; the same may work later."""


class StoreRejected(CallbotError):
    """The database understood and will never take this."""


class AlreadyThere(StoreRejected):
    """A unique index has a document with these values."""


class Collection(Protocol):
    """Every method raises StoreUnavailable, those that write StoreRejected too.

    Documents come and go without MongoDB's own `_id`, unless a store sets it.
    """

    async def index(
        self, keys: Keys, *, unique: bool = False, sparse: bool = False, expire_after_s: int | None = None
    ) -> None:
        """May be called by several replicas at once, and again."""

    async def one(self, wanted: Query) -> Document | None: ...

    async def many(
        self, wanted: Query, *, sort: Keys = (), limit: int = 0, fields: Sequence[str] = ()
    ) -> list[Document]:
        """`limit` 0: all. `fields`: only these of each; none: all."""

    async def count(self, wanted: Query) -> int: ...

    async def insert(self, document: Query) -> None:
        """Raises AlreadyThere."""

    async def change(self, wanted: Query, update: Query, *, upsert: bool = False) -> Document | None:
        """One document, atomically; what it is afterwards, None when none was wanted. Raises AlreadyThere.

        The embedded database answers a lost race of two upserts with None: then look again.
        """

    async def update(self, wanted: Query, update: Query, *, upsert: bool = False) -> bool:
        """Like `change`, without reading the document; was there one? Raises AlreadyThere."""

    async def change_all(self, wanted: Query, update: Query) -> int:
        """How many were found."""

    async def remove(self, wanted: Query) -> bool: ...

    async def remove_all(self, wanted: Query) -> int: ...


class Database(Protocol):
    def collection(self, name: str) -> Collection: ...

    async def ping(self) -> None:
        """Raises StoreUnavailable."""
