"""Bots and call records in MongoDB. The only file that knows its driver (docs/decisions)."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import (
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from callbot.call_router.store import CallRecord, Store, StoredBot, StoreRejected, StoreUnavailable
from callbot.runtime.errors import SettingsError
from callbot.schemas.calls import (
    CallDetail,
    CallEnded,
    CallEvent,
    CallStarted,
    RouteVerdict,
    StageFallback,
    TurnDone,
)

SCHEMA_VERSION = 1
DEADLINE_S = 1.5
"""For one operation, finding a server included."""
NEVER_TAKEN = frozenset({2, 121, 10334, 11000, 17419})
"""BadValue, DocumentValidationFailure, BSONObjectTooLarge, DuplicateKey, result larger than 16 MB
(mongo/src/mongo/base/error_codes.yml)."""
TRIES = 3
P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger(__name__)


@asynccontextmanager
async def open_store(url: str, database: str) -> AsyncIterator[Store]:
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
        yield MongoStore(client[database])
    finally:
        client.close()


def _translated(
    method: Callable[Concatenate["MongoStore", P], Awaitable[R]],
) -> Callable[Concatenate["MongoStore", P], Coroutine[Any, Any, R]]:
    """The driver's errors become ours."""

    async def calling(self: "MongoStore", /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(self, *args, **kwargs)
        except (DocumentTooLarge, BSONError, OverflowError, UnicodeEncodeError) as e:
            raise StoreRejected(f"{method.__name__}: {type(e).__name__}") from e
        except OperationFailure as e:
            log.error("the database refuses", extra={"operation": method.__name__, "code": e.code})
            error = StoreRejected if e.code in NEVER_TAKEN else StoreUnavailable
            raise error(f"{method.__name__}: {type(e).__name__} {e.code}") from e
        except PyMongoError as e:
            raise StoreUnavailable(f"{method.__name__}: {type(e).__name__}") from e

    return calling


class MongoStore(Store):
    """Collections `bots` and `calls`. Only strings, times and numbers of ours reach a query."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._bots = database["bots"]
        self._calls = database["calls"]

    @_translated
    async def prepare(self) -> None:
        await self._bots.create_index("id", unique=True)
        await self._bots.create_index([("user_id", ASCENDING), ("created_at", ASCENDING), ("id", ASCENDING)])
        await self._calls.create_index("call_id", unique=True)
        await self._calls.create_index([("bot_id", ASCENDING), ("routed_at", ASCENDING)])

    @_translated
    async def ping(self) -> None:
        await self._database.command("ping")

    @_translated
    async def add_bot(self, bot: StoredBot) -> None:
        await self._bots.insert_one({**bot.model_dump(), "schema_version": SCHEMA_VERSION})

    @_translated
    async def bot(self, bot_id: str) -> StoredBot | None:
        return _bot(await self._bots.find_one({"id": bot_id}))

    @_translated
    async def bots_of(self, user_id: str, after: tuple[datetime, str] | None, limit: int) -> list[StoredBot]:
        wanted: dict[str, object] = {"user_id": user_id}
        if after is not None:
            at, bot_id = after
            wanted["$or"] = [{"created_at": {"$gt": at}}, {"created_at": at, "id": {"$gt": bot_id}}]
        cursor = self._bots.find(wanted).sort([("created_at", ASCENDING), ("id", ASCENDING)]).limit(limit)
        return [StoredBot.model_validate(found) for found in await cursor.to_list(limit)]

    @_translated
    async def change_bot(self, user_id: str, bot_id: str, changes: Mapping[str, object]) -> StoredBot | None:
        known = {field: value for field, value in changes.items() if field in StoredBot.model_fields}
        return _bot(
            await self._bots.find_one_and_update(
                {"id": bot_id, "user_id": user_id},
                {"$set": {**known, "schema_version": SCHEMA_VERSION}},
                return_document=ReturnDocument.AFTER,
            )
        )

    @_translated
    async def remove_bot(self, user_id: str, bot_id: str) -> bool:
        done = await self._bots.delete_one({"id": bot_id, "user_id": user_id})
        return bool(done.deleted_count)

    @_translated
    async def calls_since(self, bot_ids: Iterable[str], since: datetime) -> dict[str, int]:
        wanted = {
            "bot_id": {"$in": list(bot_ids)},
            "routed_at": {"$gte": since},
            "verdict": RouteVerdict.CONNECT.value,
        }
        counting = self._calls.aggregate(
            [{"$match": wanted}, {"$group": {"_id": "$bot_id", "calls": {"$sum": 1}}}]
        )
        return {found["_id"]: found["calls"] for found in await counting.to_list(None)}

    @_translated
    async def keep_call(self, record: CallRecord) -> CallRecord:
        first = {**record.model_dump(), "schema_version": SCHEMA_VERSION}
        del first["call_id"]
        for _ in range(TRIES):
            try:
                found = await self._calls.find_one_and_update(
                    {"call_id": record.call_id},
                    {"$setOnInsert": first},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                # Another replica has inserted it between our search and our insert.
                found = await self._calls.find_one({"call_id": record.call_id})
            # secantusdb answers a lost race with nothing, not with DuplicateKeyError: then once more.
            if found is not None:
                return CallRecord.model_validate(found)
        raise StoreUnavailable("keep_call: inserted by another, and not to be seen")

    @_translated
    async def call(self, call_id: str) -> CallRecord | None:
        return _call(await self._calls.find_one({"call_id": call_id}))

    @_translated
    async def call_detail(self, user_id: str, call_id: str) -> CallDetail | None:
        found = await self._calls.find_one({"call_id": call_id, "user_id": user_id})
        if found is None:
            return None
        turns = sorted(found.get("turns", ()), key=lambda turn: int(turn["number"]))
        # A record that began with another event than `started` has no numbers yet.
        return CallDetail.model_validate({"from_number": "", "to_number": "", **found, "turns": turns})

    @_translated
    async def renew_token(self, call_id: str, was: datetime, now: datetime) -> CallRecord | None:
        return _call(
            await self._calls.find_one_and_update(
                {"call_id": call_id, "token_issued_at": was, "ended_at": None},
                {"$set": {"token_issued_at": now}},
                return_document=ReturnDocument.AFTER,
            )
        )

    @_translated
    async def begin_stream(self, call_id: str, max_generation: int) -> int | None:
        found = _call(
            await self._calls.find_one_and_update(
                {"call_id": call_id, "ended_at": None, "generation": {"$lt": max_generation}},
                {"$inc": {"generation": 1}},
                return_document=ReturnDocument.AFTER,
            )
        )
        return found.generation if found else None

    @_translated
    async def fold(self, event: CallEvent) -> None:
        update = _folding(event)
        first = {
            "bot_id": event.bot_id,
            "user_id": event.user_id,
            "verdict": RouteVerdict.CONNECT.value,
            "account_sid": "",
            "routed_at": event.at,
            "token_issued_at": event.at,
            "generation": 0,
            "schema_version": SCHEMA_VERSION,
        }
        update["$setOnInsert"] = first
        try:
            await self._calls.update_one(
                {"call_id": event.call_id, "event_ids": {"$ne": event.event_id}}, update, upsert=True
            )
        except DuplicateKeyError:
            # The record exists and has this event, or another replica has just made it: then once more.
            await self._calls.update_one(
                {"call_id": event.call_id, "event_ids": {"$ne": event.event_id}},
                {operator: change for operator, change in update.items() if operator != "$setOnInsert"},
            )
        if _is_guess(event):
            await self._calls.update_one(
                {"call_id": event.call_id, "ended_at": None}, {"$set": _ending(event)}
            )


def _folding(event: CallEvent) -> dict[str, Any]:
    """The update that adds this event to a record."""
    pushed: dict[str, Any] = {"event_ids": event.event_id}
    update: dict[str, Any] = {"$push": pushed}
    match event.fact:
        case CallStarted(from_number=from_number, to_number=to_number):
            update["$min"] = {"started_at": event.at}
            update["$set"] = {"from_number": from_number, "to_number": to_number}
        case TurnDone(turn=turn):
            pushed["turns"] = turn.model_dump(mode="json")
        case StageFallback(stage=stage, reason=reason):
            pushed["fallbacks"] = {"stage": stage, "reason": reason, "at": event.at}
        case CallEnded() if not _is_guess(event):
            update["$set"] = _ending(event)
    return update


def _is_guess(event: CallEvent) -> bool:
    """Twilio said that the call is over; its own gateway may be about to say why, and knows better."""
    return isinstance(event.fact, CallEnded) and event.fact.reason == "line_lost"


def _ending(event: CallEvent) -> dict[str, Any]:
    fact = event.fact
    assert isinstance(fact, CallEnded)
    return {"ended_at": event.at, "end_reason": fact.reason, "duration_ms": fact.duration_ms}


def _bot(found: Mapping[str, Any] | None) -> StoredBot | None:
    return None if found is None else StoredBot.model_validate(found)


def _call(found: Mapping[str, Any] | None) -> CallRecord | None:
    return None if found is None else CallRecord.model_validate(found)
