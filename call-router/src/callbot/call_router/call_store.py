"""What routing keeps of each call: in collection `calls`, beside its facts (`call_log.py`)."""

from datetime import datetime, timedelta

from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database, StoreUnavailable
from callbot.schemas.calls import RouteVerdict
from callbot.schemas.message import BotId, CallId, Message, Timestamp, UserId

TRANSFERRED = "transferred"


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
    end_reason: str | None = None
    """A call that was never connected has its verdict here."""
    duration_ms: int | None = None

    @property
    def may_reopen(self) -> bool:
        """It goes on, or has ended with a transfer."""
        return self.ended_at is None or self.end_reason == TRANSFERRED


class CallStore:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._calls = database.collection("calls")

    async def prepare(self) -> None:
        await self._calls.index([("call_id", 1)], unique=True)

    async def keep(self, record: CallRecord) -> tuple[CallRecord, bool]:
        """The record that is kept for this call: the first one. Is it this one?"""
        try:
            await self._calls.insert({**record.model_dump(), "schema_version": SCHEMA_VERSION})
        except AlreadyThere:
            found = await self.get(record.call_id)
            if found is None:
                raise StoreUnavailable("keeping a call: inserted by another, and not to be seen") from None
            return found, False
        return record, True

    async def get(self, call_id: str) -> CallRecord | None:
        found = await self._calls.one({"call_id": call_id})
        return None if found is None else CallRecord.model_validate(found)

    async def renew_token(self, call_id: str, was: datetime, now: datetime) -> CallRecord | None:
        """Move the time of the token from `was`; None when somebody else has moved it."""
        found = await self._calls.change(
            {"call_id": call_id, "token_issued_at": was, "ended_at": None}, {"$set": {"token_issued_at": now}}
        )
        return None if found is None else CallRecord.model_validate(found)

    async def reopen(self, record: CallRecord, transferred_in: int, now: datetime) -> CallRecord | None:
        """Goes on after its transfer, with a new token; None when it has changed since it was read.

        `transferred_in`: the generation whose end is none from now on, however late it is told, see
        `CallLog.fold`.
        """
        wanted = {
            "call_id": record.call_id,
            "token_issued_at": record.token_issued_at,
            "$or": [{"ended_at": None}, {"end_reason": TRANSFERRED}],
        }
        changes = {"ended_at": None, "end_reason": None, "duration_ms": None, "token_issued_at": now}
        found = await self._calls.change(
            wanted, {"$set": changes, "$max": {"reopened_after": transferred_in}}
        )
        return None if found is None else CallRecord.model_validate(found)

    async def begin_stream(self, call_id: str, token_id: str, max_generation: int) -> int | None:
        """The next generation; None: the call is over, unknown or has had too many, or the token is spent."""
        wanted = {
            "call_id": call_id,
            "ended_at": None,
            "spent_tokens": {"$ne": token_id},
            "generation": {"$lt": max_generation},
        }
        found = await self._calls.change(wanted, {"$inc": {"generation": 1}})
        return None if found is None else CallRecord.model_validate(found).generation

    async def end_unheard(self, record: CallRecord, now: datetime) -> bool:
        """The call is over and no stream of it ever began, so that nobody else will say so."""
        ending = {
            "ended_at": now,
            "end_reason": "line_lost",
            "duration_ms": (now - record.routed_at) // timedelta(milliseconds=1),
        }
        wanted = {"call_id": record.call_id, "ended_at": None, "generation": 0}
        return await self._calls.update(wanted, {"$set": ending})
