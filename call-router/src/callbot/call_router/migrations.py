"""Documents of older versions become today's. While other replicas run, and again: a step is one change."""

import itertools
import logging
import secrets

from callbot.call_router.bot_store import Usage, slot_of
from callbot.call_router.database import SCHEMA_VERSION, AlreadyThere, Database, Document
from callbot.runtime.sealing import Sealing, webhook_secret_of

SECRET_BYTES = 32
AT_ONCE = 100
OLDER: Document = {"schema_version": {"$not": {"$gte": SCHEMA_VERSION}}}
log = logging.getLogger(__name__)


class Migrations:
    def __init__(self, database: Database) -> None:
        self._bots = database.collection("bots")

    async def run(self, sealing: Sealing) -> int:
        """How many documents were changed. Raises StoreUnavailable, StoreRejected; what is done, is done."""
        changed = 0
        while old := await self._bots.many(OLDER, sort=[("created_at", 1), ("id", 1)], limit=AT_ONCE):
            now_changed = sum([await self._bot(bot, sealing) for bot in old])
            changed += now_changed
            if not now_changed:
                # Another replica has changed all of them; or nobody can.
                break
        if changed:
            log.info("bots of an older version changed", extra={"bots": changed})
        return changed

    async def _bot(self, bot: Document, sealing: Sealing) -> bool:
        """Version 1 kept webhook secrets as they are, and counted neither bots nor versions."""
        now: Document = {"version": 1, "usage": Usage().model_dump(), **bot, "schema_version": SCHEMA_VERSION}
        secret = now.pop("webhook_secret", None)
        if secret is None and "sealed_webhook_secret" not in bot:
            secret = secrets.token_urlsafe(SECRET_BYTES)
        if secret is not None:
            now["sealed_webhook_secret"] = sealing.seal(secret, webhook_secret_of(bot["id"]))
        added = {field: value for field, value in now.items() if bot.get(field) != value}
        # As it was read: an older replica may be changing it.
        wanted = {**OLDER, "id": bot["id"], "webhook_secret": bot.get("webhook_secret")}
        while True:
            if "slot" not in bot:
                added["slot"] = await self._free_slot(bot["user_id"])
            try:
                return await self._bots.update(wanted, {"$set": added, "$unset": {"webhook_secret": ""}})
            except AlreadyThere:
                # Another replica has given this place away meanwhile: then the next one.
                continue

    async def _free_slot(self, user_id: str) -> str:
        """Also beyond the limit: who had more bots keeps them."""
        taken = {bot.get("slot") for bot in await self._bots.many({"user_id": user_id})}
        return next(slot for n in itertools.count() if (slot := slot_of(user_id, n)) not in taken)
