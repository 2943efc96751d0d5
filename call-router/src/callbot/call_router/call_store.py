"""What routing keeps of each call: in collection `calls`, beside its facts (`call_log.py`)."""

from collections.abc import Iterable
from datetime import datetime

from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database, StoreUnavailable
from callbot.schemas.calls import RouteVerdict
from callbot.schemas.message import BotId, CallId, Message, Timestamp, UserId

TRIES = 3


class CallRecord(Message):
    call_id: CallId
    bot_id: BotId
    user_id: UserId
    verdict: RouteVerdict
    account_sid: str = ""
    from_number: str = ""
    to_number: str = ""
    routed_at: Timestamp
    token_issued_at: Timestamp
    generation: int = 0
    """How many streams of this call have been admitted."""
    ended_at: Timestamp | None = None


class CallStore:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._calls = database.collection("calls")

    async def prepare(self) -> None:
        await self._calls.index([("call_id", 1)], unique=True)
        await self._calls.index([("bot_id", 1), ("routed_at", 1)])

    async def calls_since(self, bot_ids: Iterable[str], since: datetime) -> dict[str, int]:
        """How many calls each bot has been given since then."""
        given = RouteVerdict.CONNECT.value
        return {
            bot_id: await self._calls.count(
                {"bot_id": bot_id, "routed_at": {"$gte": since}, "verdict": given}
            )
            for bot_id in bot_ids
        }

    async def keep(self, record: CallRecord) -> CallRecord:
        """The record that is kept for this call: the first one."""
        first = {**record.model_dump(), "schema_version": SCHEMA_VERSION}
        del first["call_id"]
        for _ in range(TRIES):
            try:
                found = await self._calls.change(
                    {"call_id": record.call_id}, {"$setOnInsert": first}, upsert=True
                )
            except AlreadyThere:
                # Another replica has inserted it between our search and our insert.
                found = await self._calls.one({"call_id": record.call_id})
            # secantusdb answers a lost race with nothing, not with a duplicate key: then once more.
            if found is not None:
                return CallRecord.model_validate(found)
        raise StoreUnavailable("keeping a call: inserted by another, and not to be seen")

    async def get(self, call_id: str) -> CallRecord | None:
        found = await self._calls.one({"call_id": call_id})
        return None if found is None else CallRecord.model_validate(found)

    async def renew_token(self, call_id: str, was: datetime, now: datetime) -> CallRecord | None:
        """Move the time of the token from `was`; None when somebody else has moved it."""
        found = await self._calls.change(
            {"call_id": call_id, "token_issued_at": was, "ended_at": None}, {"$set": {"token_issued_at": now}}
        )
        return None if found is None else CallRecord.model_validate(found)

    async def begin_stream(self, call_id: str, max_generation: int) -> int | None:
        """The next generation; None when the call is over, unknown, or has had too many."""
        found = await self._calls.change(
            {"call_id": call_id, "ended_at": None, "generation": {"$lt": max_generation}},
            {"$inc": {"generation": 1}},
        )
        return None if found is None else CallRecord.model_validate(found).generation
