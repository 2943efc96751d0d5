"""The facts of each call, as they are told: in collection `calls`, beside what routing keeps."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callbot.call_router import call_usage
from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database, Document
from callbot.call_router.erased_calls import ErasedCalls
from callbot.schemas.calls import (
    CallDetail,
    CallEnded,
    CallEvent,
    CallStarted,
    CallSummary,
    MediaFlowed,
    RouteVerdict,
    StageFallback,
    TurnDone,
)
from callbot.schemas.usage import UsageTold, Used

UNNUMBERED = {"from_number": "", "to_number": ""}
"""A record that began with another event than `started` has no numbers yet."""
SUMMARY = (*CallSummary.model_fields, "routed_at")


@dataclass(frozen=True, slots=True)
class KeptCall:
    detail: CallDetail
    """Without usage and cost."""
    used: list[Used]
    counted: bool
    """Nothing is missing in `used`."""


class CallLog:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._calls = database.collection("calls")
        self._erased = ErasedCalls(database)

    async def prepare(self) -> None:
        await self._erased.prepare()
        newest = [("routed_at", -1), ("call_id", -1)]
        await self._calls.index([("user_id", 1), *newest])
        await self._calls.index([("user_id", 1), ("bot_id", 1), *newest])

    async def page(
        self, user_id: str, bot_id: str | None, after: tuple[datetime, str] | None, limit: int
    ) -> list[tuple[datetime, CallSummary]]:
        """Newest first by the time when each was routed, which is told with it; behind `after`."""
        wanted: Document = {"user_id": user_id} if bot_id is None else {"user_id": user_id, "bot_id": bot_id}
        if after is not None:
            at, call_id = after
            wanted["routed_at"] = {"$lte": at}
            wanted["$or"] = [{"routed_at": {"$lt": at}}, {"call_id": {"$lt": call_id}}]
        found = await self._calls.many(
            wanted, sort=[("routed_at", -1), ("call_id", -1)], limit=limit, fields=SUMMARY
        )
        return [(call["routed_at"], CallSummary.model_validate({**UNNUMBERED, **call})) for call in found]

    async def detail(self, user_id: str, call_id: str) -> KeptCall | None:
        """Its turns in the order of their numbers."""
        found = await self._calls.one({"call_id": call_id, "user_id": user_id})
        if found is None:
            return None
        turns = sorted(found.get("turns", ()), key=lambda turn: int(turn["number"]))
        used, told_all = call_usage.used_in(found)
        detail = CallDetail.model_validate({**UNNUMBERED, **found, "turns": turns})
        return KeptCall(detail, used, counted=told_all and detail.ended_at is not None)

    async def forget(self, call_id: str, now: datetime) -> None:
        """From now on no event makes this call's record again; `remove` it afterwards."""
        await self._erased.add(call_id, now)

    async def remove(self, call_id: str) -> None:
        await self._calls.remove({"call_id": call_id})

    async def fold(self, event: CallEvent) -> bool:
        """Into the record of its call, once by its id, in whatever order; False: it was erased."""
        wanted, update = _folding(event)
        if not await self._calls.update(wanted, update) and not await self._begun(event, wanted, update):
            return False
        if isinstance(event.fact, CallEnded):
            await self._calls.update(_still_open(event), {"$set": _ending(event)})
        return True

    async def is_over(self, call_id: str) -> bool:
        """Also when there is no such call. The end of one stream may not be the end of the call."""
        found = await self._calls.one({"call_id": call_id})
        return found is None or found.get("ended_at") is not None

    async def _begun(self, event: CallEvent, wanted: Document, update: Document) -> bool:
        """The record may not exist yet, or have this event already, or be erased: then False."""
        if await self._erased.has(event.call_id):
            return False
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
        try:
            await self._calls.update(wanted, {**update, "$setOnInsert": first}, upsert=True)
        except AlreadyThere:
            # The record exists and has this event, or another replica has just made it: then once more.
            await self._calls.update(wanted, update)
        if await self._erased.has(event.call_id):
            # Erased between the two looks: what has just been made goes again.
            await self.remove(event.call_id)
            return False
        return True


def _folding(event: CallEvent) -> tuple[Document, Document]:
    """The record that this event is not in yet, and the update that adds it."""
    if isinstance(event.fact, UsageTold):
        without_it, update = call_usage.replacing(event.fact)
        return {"call_id": event.call_id, **without_it}, update
    wanted: Document = {"call_id": event.call_id, "event_ids": {"$ne": event.event_id}}
    pushed: dict[str, Any] = {"event_ids": event.event_id}
    update = {"$push": pushed}
    match event.fact:
        case CallStarted(from_number=from_number, to_number=to_number):
            update["$min"] = {"started_at": event.at}
            update["$set"] = {"from_number": from_number, "to_number": to_number}
        case MediaFlowed(stream_token_id=token_id):
            update["$addToSet"] = {"spent_tokens": token_id}
        case TurnDone(turn=turn):
            pushed["turns"] = turn.model_dump(mode="json")
        case StageFallback(stage=stage, reason=reason):
            pushed["fallbacks"] = {"stage": stage, "reason": reason, "at": event.at}
    return wanted, update


def _still_open(event: CallEvent) -> Document:
    """Which record this end closes: not one that has gone on with another stream (`CallStore.reopen`).

    `line_lost` is a guess, made when Twilio said that the call is over: its own gateway may be about to say
    why, and knows better.
    """
    assert isinstance(event.fact, CallEnded)
    if event.fact.reason == "line_lost":
        return {"call_id": event.call_id, "ended_at": None}
    return {"call_id": event.call_id, "reopened_after": {"$not": {"$gte": event.generation}}}


def _ending(event: CallEvent) -> Document:
    fact = event.fact
    assert isinstance(fact, CallEnded)
    return {"ended_at": event.at, "end_reason": fact.reason, "duration_ms": fact.duration_ms}
