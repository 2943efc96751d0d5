"""The facts of each call, as they are told: in collection `calls`, beside what routing keeps."""

from typing import Any

from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database, Document
from callbot.schemas.calls import (
    CallDetail,
    CallEnded,
    CallEvent,
    CallStarted,
    MediaFlowed,
    RouteVerdict,
    StageFallback,
    TurnDone,
)


class CallLog:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._calls = database.collection("calls")

    async def detail(self, user_id: str, call_id: str) -> CallDetail | None:
        """Its turns in the order of their numbers."""
        found = await self._calls.one({"call_id": call_id, "user_id": user_id})
        if found is None:
            return None
        turns = sorted(found.get("turns", ()), key=lambda turn: int(turn["number"]))
        # A record that began with another event than `started` has no numbers yet.
        return CallDetail.model_validate({"from_number": "", "to_number": "", **found, "turns": turns})

    async def fold(self, event: CallEvent) -> None:
        """Into the record of its call, once by its id, in whatever order events come."""
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
        wanted = {"call_id": event.call_id, "event_ids": {"$ne": event.event_id}}
        try:
            await self._calls.update(wanted, {**update, "$setOnInsert": first}, upsert=True)
        except AlreadyThere:
            # The record exists and has this event, or another replica has just made it: then once more.
            await self._calls.update(wanted, update)
        if _is_guess(event):
            await self._calls.update({"call_id": event.call_id, "ended_at": None}, {"$set": _ending(event)})


def _folding(event: CallEvent) -> Document:
    """The update that adds this event to a record."""
    pushed: dict[str, Any] = {"event_ids": event.event_id}
    update: Document = {"$push": pushed}
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
        case CallEnded() if not _is_guess(event):
            update["$set"] = _ending(event)
    return update


def _is_guess(event: CallEvent) -> bool:
    """Twilio said that the call is over; its own gateway may be about to say why, and knows better."""
    return isinstance(event.fact, CallEnded) and event.fact.reason == "line_lost"


def _ending(event: CallEvent) -> Document:
    fact = event.fact
    assert isinstance(fact, CallEnded)
    return {"ended_at": event.at, "end_reason": fact.reason, "duration_ms": fact.duration_ms}
