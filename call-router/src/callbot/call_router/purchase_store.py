"""Numbers bought for bots, from before the purchase until after the release. Collection `purchases`.

    BUYING ── the bot has its number ──→ OWNED ──→ RELEASING ──→ gone
       └──────────── it has come to nothing ──────────┘

Each has a time at which the sweeper looks at it next; who moves that time on first may do the work.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from callbot.call_router.database import SCHEMA_VERSION, Database
from callbot.schemas.message import BotId, Message, Timestamp, UserId


class PurchaseState(StrEnum):
    BUYING = "buying"
    OWNED = "owned"
    RELEASING = "releasing"


class Purchase(Message):
    bot_id: BotId
    user_id: UserId
    account_sid: str
    """The platform's account that it was bought with."""
    state: PurchaseState
    sid: str | None = None
    phone_number: str | None = None
    """Both None: Twilio has not told us yet that there is a number."""
    began_at: Timestamp
    due_at: Timestamp


class PurchaseStore:
    """Every method raises StoreUnavailable, those that write StoreRejected too."""

    def __init__(self, database: Database) -> None:
        self._purchases = database.collection("purchases")

    async def prepare(self) -> None:
        await self._purchases.index([("bot_id", 1)], unique=True)
        await self._purchases.index([("due_at", 1)])
        await self._purchases.index([("phone_number", 1)], sparse=True)

    async def keep(self, purchase: Purchase) -> None:
        """Whatever was known of it before."""
        document = {k: v for k, v in purchase.model_dump().items() if v is not None}
        update = {"$set": {**document, "schema_version": SCHEMA_VERSION}}
        await self._purchases.update({"bot_id": purchase.bot_id}, update, upsert=True)

    async def get(self, bot_id: str) -> Purchase | None:
        found = await self._purchases.one({"bot_id": bot_id})
        return None if found is None else Purchase.model_validate(found)

    async def of_number(self, phone_number: str) -> Purchase | None:
        """Unless it is on its way back."""
        wanted = {"phone_number": phone_number, "state": {"$ne": PurchaseState.RELEASING}}
        found = await self._purchases.one(wanted)
        return None if found is None else Purchase.model_validate(found)

    async def set_number(self, bot_id: str, sid: str, phone_number: str) -> bool:
        """False: it is not being bought any more."""
        wanted = {"bot_id": bot_id, "state": PurchaseState.BUYING}
        return await self._purchases.update(wanted, {"$set": {"sid": sid, "phone_number": phone_number}})

    async def move(
        self, bot_id: str, came_from: PurchaseState, to: PurchaseState, due_at: datetime
    ) -> Purchase | None:
        """None: it was not there any more."""
        return await self._change({"bot_id": bot_id, "state": came_from}, {"state": to, "due_at": due_at})

    async def begin_release(self, bot_id: str, due_at: datetime) -> Purchase | None:
        """Whatever it was; None: nothing was ever bought."""
        return await self._change({"bot_id": bot_id}, {"state": PurchaseState.RELEASING, "due_at": due_at})

    async def postpone(self, purchase: Purchase, due_at: datetime) -> bool:
        """False: another replica was faster."""
        wanted = {"bot_id": purchase.bot_id, "due_at": purchase.due_at}
        return await self._purchases.update(wanted, {"$set": {"due_at": due_at}})

    async def due(self, now: datetime, limit: int) -> list[Purchase]:
        found = await self._purchases.many({"due_at": {"$lte": now}}, sort=[("due_at", 1)], limit=limit)
        return [Purchase.model_validate(one) for one in found]

    async def forget(self, bot_id: str, state: PurchaseState) -> None:
        await self._purchases.remove({"bot_id": bot_id, "state": state})

    async def _change(self, wanted: Mapping[str, object], to: Mapping[str, object]) -> Purchase | None:
        found = await self._purchases.change(wanted, {"$set": dict(to)})
        return None if found is None else Purchase.model_validate(found)
