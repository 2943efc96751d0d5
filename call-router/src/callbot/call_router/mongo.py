"""MongoDB through motor. The only file that knows its driver (docs/decisions)."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import pymongo
from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReturnDocument
from pymongo.errors import (
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from callbot.call_router.database import (
    AlreadyThere,
    Collection,
    Database,
    Document,
    Keys,
    Query,
    StoreRejected,
    StoreUnavailable,
)
from callbot.runtime.errors import SettingsError

DEADLINE_S = 1.5
"""For one operation, finding a server included."""
INDEX_WITHIN_S = 300.0
"""For an index of a large collection. The server is told (`maxTimeMS`) and breaks off what is not built by
then: with less time it would never be."""
NEVER_TAKEN = frozenset({2, 121, 10334, 17419})
"""BadValue, DocumentValidationFailure, BSONObjectTooLarge, result larger than 16 MB
(mongo/src/mongo/base/error_codes.yml)."""
NO_ID = {"_id": False}
P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger(__name__)


@asynccontextmanager
async def open_database(url: str, name: str) -> AsyncIterator[Database]:
    """Does not wait for the database, it may come later. Raises SettingsError: no url can be read."""
    deadline_ms = round(DEADLINE_S * 1000)
    try:
        client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(
            url,
            io_loop=asyncio.get_running_loop(),
            tz_aware=True,
            appname="call-router",
            serverSelectionTimeoutMS=deadline_ms,
            connectTimeoutMS=deadline_ms,
            timeoutMS=deadline_ms,
        )
    except (InvalidURI, ConfigurationError, ValueError) as e:
        raise SettingsError("MONGO_URL cannot be read") from e
    try:
        yield _MongoDatabase(client[name])
    finally:
        client.close()


def _translated(
    method: Callable[Concatenate["_MongoCollection", P], Awaitable[R]],
) -> Callable[Concatenate["_MongoCollection", P], Coroutine[Any, Any, R]]:
    """The driver's errors become ours."""

    async def calling(self: "_MongoCollection", /, *args: P.args, **kwargs: P.kwargs) -> R:
        what = f"{self.name}.{method.__name__}"
        try:
            return await method(self, *args, **kwargs)
        except DuplicateKeyError as e:
            raise AlreadyThere(what) from e
        except (DocumentTooLarge, BSONError, OverflowError, UnicodeEncodeError) as e:
            raise StoreRejected(f"{what}: {type(e).__name__}") from e
        except OperationFailure as e:
            log.error("the database refuses", extra={"operation": what, "code": e.code})
            error = StoreRejected if e.code in NEVER_TAKEN else StoreUnavailable
            raise error(f"{what}: {type(e).__name__} {e.code}") from e
        except PyMongoError as e:
            raise StoreUnavailable(f"{what}: {type(e).__name__}") from e

    return calling


class _MongoCollection(Collection):
    def __init__(self, collection: Any, name: str) -> None:
        self._collection = collection
        self.name = name

    @_translated
    async def index(
        self, keys: Keys, *, unique: bool = False, sparse: bool = False, expire_after_s: int | None = None
    ) -> None:
        options: dict[str, Any] = {"unique": unique} if unique else {}
        options |= {"sparse": True} if sparse else {}
        options |= {"expireAfterSeconds": expire_after_s} if expire_after_s is not None else {}
        with pymongo.timeout(INDEX_WITHIN_S):
            await self._collection.create_index(list(keys), **options)

    @_translated
    async def one(self, wanted: Query) -> Document | None:
        found: Document | None = await self._collection.find_one(wanted, NO_ID)
        return found

    @_translated
    async def many(
        self, wanted: Query, *, sort: Keys = (), limit: int = 0, fields: Sequence[str] = ()
    ) -> list[Document]:
        cursor = self._collection.find(wanted, {**dict.fromkeys(fields, True), **NO_ID})
        if sort:
            cursor = cursor.sort(list(sort))
        found: list[Document] = await cursor.limit(limit).to_list(limit or None)
        return found

    @_translated
    async def count(self, wanted: Query) -> int:
        return int(await self._collection.count_documents(wanted))

    @_translated
    async def insert(self, document: Query) -> None:
        await self._collection.insert_one(dict(document))

    @_translated
    async def change(self, wanted: Query, update: Query, *, upsert: bool = False) -> Document | None:
        found: Document | None = await self._collection.find_one_and_update(
            wanted, update, projection=NO_ID, upsert=upsert, return_document=ReturnDocument.AFTER
        )
        return found

    @_translated
    async def update(self, wanted: Query, update: Query, *, upsert: bool = False) -> bool:
        return bool((await self._collection.update_one(wanted, update, upsert=upsert)).matched_count)

    @_translated
    async def change_all(self, wanted: Query, update: Query) -> int:
        return int((await self._collection.update_many(wanted, update)).matched_count)

    @_translated
    async def remove(self, wanted: Query) -> bool:
        return bool((await self._collection.delete_one(wanted)).deleted_count)

    @_translated
    async def remove_all(self, wanted: Query) -> int:
        return int((await self._collection.delete_many(wanted)).deleted_count)


class _MongoDatabase(Database):
    def __init__(self, database: Any) -> None:
        self._database = database

    def collection(self, name: str) -> Collection:
        return _MongoCollection(self._database[name], name)

    async def ping(self) -> None:
        try:
            await self._database.command("ping")
        except PyMongoError as e:
            raise StoreUnavailable(f"ping: {type(e).__name__}") from e
