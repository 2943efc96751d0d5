"""Answers what the API asks about bots."""

import asyncio
import secrets
import string
from collections.abc import Callable
from datetime import datetime

from callbot.call_router.bot_store import StoredBot
from callbot.call_router.cursors import cursor_of, read_cursor
from callbot.call_router.instants import day_in, utc_now
from callbot.call_router.phrases_ahead import SPOKEN, PhrasesAhead
from callbot.call_router.purchases import Purchases
from callbot.call_router.stores import Stores
from callbot.call_router.user_store import StoredUser
from callbot.call_router.voices import Voices
from callbot.call_router.webhook_check import WebhookCheck
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.runtime.sealing import Sealing, webhook_secret_of
from callbot.schemas.bots import (
    Bot,
    BotPage,
    BotRef,
    BotSummary,
    CreateBot,
    ListBots,
    UpdateBot,
    VoiceStatus,
)
from callbot.schemas.message import UserId
from callbot.schemas.users import Done, RateLimit

ID_LETTERS = string.ascii_letters + string.digits
ID_LENGTH = 12
SECRET_BYTES = 32
RETRY_AFTER_S = 60
"""No time makes room for one more bot, only a deletion; but a 429 says when to try again (RFC 6585)."""
NOT_SHOWN = {"user_id", "sealed_webhook_secret", "slot", "usage"}


def bot_not_found() -> Refused:
    return Refused("bot_not_found", "There is no such bot.")


class Bots:
    def __init__(
        self,
        stores: Stores,
        *,
        bus: Bus,
        sealing: Sealing,
        webhooks: WebhookCheck,
        voices: Voices,
        purchases: Purchases,
        limit: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`limit`: how many bots a user may have."""
        self._bots = stores.bots
        self._users = stores.users
        self._defaults = stores.default_bots
        self._sealing = sealing
        self._webhooks = webhooks
        self._purchases = purchases
        self._voices = voices
        self._phrases = PhrasesAhead(bus)
        self._limit = limit
        self._now = now

    async def create(self, user_id: UserId, question: CreateBot) -> Bot:
        definition = question.definition
        await self._voices.require_settable(definition.voice)
        await self._webhooks.require(definition.webhook)
        bot_id = "bot_" + "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
        secret = definition.webhook_secret or secrets.token_urlsafe(SECRET_BYTES)
        bot = StoredBot(
            id=bot_id,
            user_id=user_id,
            created_at=self._now(),
            sealed_webhook_secret=self._sealing.seal(secret, webhook_secret_of(bot_id)),
            **definition.model_dump(exclude={"webhook_secret"}),
        )
        remaining = await self._bots.add(bot, self._limit)
        if remaining is None:
            raise _too_many(self._limit)
        try:
            number = await self._purchases.buy(bot_id, user_id)
            await self._defaults.fill(user_id)
        except BaseException:
            # A bot that its owner was never told of must not keep a place, nor a number.
            await asyncio.shield(self._undo(user_id, bot_id))
            raise
        self._phrases.speak(bot)
        shown = await self._shown(bot.model_copy(update={"number": number}))
        limits = RateLimit(limit=self._limit, remaining=remaining, reset_s=0)
        return shown.model_copy(update={"webhook_secret": secret, "rate_limit": limits})

    async def get(self, user_id: UserId, question: BotRef) -> Bot:
        bot, owner = await asyncio.gather(self._bots.get(question.bot_id), self._users.get(user_id))
        if bot is None or bot.user_id != user_id:
            raise bot_not_found()
        return await self._shown_to(owner, bot)

    async def list(self, user_id: UserId, question: ListBots) -> BotPage:
        """Oldest first, so that a page stays what it was while bots are made."""
        after = read_cursor(question.cursor) if question.cursor else None
        found, owner = await asyncio.gather(
            self._bots.of_user(user_id, after, question.limit + 1), self._users.get(user_id)
        )
        bots, more = found[: question.limit], len(found) > question.limit
        return BotPage(
            bots=[
                BotSummary(
                    id=bot.id,
                    number=_number(bot, owner),
                    goal=bot.goal,
                    status=bot.status,
                    calls_today=bot.calls_on(self._today(owner)),
                )
                for bot in bots
            ],
            next_cursor=cursor_of(bots[-1].created_at, bots[-1].id) if more else None,
        )

    async def update(self, user_id: UserId, question: UpdateBot) -> Bot:
        """Nothing at all changes when the version is another one."""
        bot_id, changes = question.bot_id, question.changes.changes()
        default = changes.get("default")
        if "voice" in changes:
            await self._voices.require_settable(question.changes.voice)
        if "webhook" in changes:
            await self._webhooks.require(question.changes.webhook)
        if "webhook_secret" in changes:
            secret = str(changes.pop("webhook_secret"))
            changes["sealed_webhook_secret"] = self._sealing.seal(secret, webhook_secret_of(bot_id))
        bot = await self._bots.change(user_id, bot_id, changes, question.if_version)
        if bot is None:
            raise await self._why_not(user_id, bot_id)
        if SPOKEN & changes.keys():
            self._phrases.speak(bot)
        if default is True:
            await self._defaults.choose(bot)
        elif default is False and await self._defaults.leave(user_id, bot_id):
            await self._defaults.fill(user_id)
        return await self._shown(bot)

    async def delete(self, user_id: UserId, question: BotRef) -> Done:
        bot = await self._bots.get(question.bot_id)
        if bot is None or bot.user_id != user_id:
            raise bot_not_found()
        await self._purchases.release(bot.id)
        if not await self._removed(user_id, bot.id):
            raise bot_not_found()
        return Done(message="Bot deleted")

    async def _undo(self, user_id: str, bot_id: str) -> None:
        try:
            await self._purchases.release(bot_id)
        finally:
            # Whether the number is back or not: the sweeper gives back what belongs to no bot.
            await self._removed(user_id, bot_id)

    async def _removed(self, user_id: str, bot_id: str) -> bool:
        """False: it was gone already. No moment has a default bot that does not exist."""
        await self._defaults.leave(user_id, bot_id)
        removed = await self._bots.remove(user_id, bot_id)
        await self._defaults.leave(user_id, bot_id)
        await self._defaults.fill(user_id)
        return removed

    async def _why_not(self, user_id: str, bot_id: str) -> Refused:
        bot = await self._bots.get(bot_id)
        if bot is None or bot.user_id != user_id:
            return bot_not_found()
        return Refused(
            "precondition_failed", "The bot has been changed meanwhile.", {"version": str(bot.version)}
        )

    async def _shown(self, bot: StoredBot) -> Bot:
        return await self._shown_to(await self._users.get(bot.user_id), bot)

    async def _shown_to(self, owner: StoredUser | None, bot: StoredBot) -> Bot:
        works = await self._voices.works(bot.voice)
        return Bot(
            voice_status=VoiceStatus.OK if works else VoiceStatus.FALLBACK,
            default=await self._defaults.is_default(bot, owner),
            calls_today=bot.calls_on(self._today(owner)),
            **bot.model_dump(exclude=NOT_SHOWN) | {"number": _number(bot, owner)},
        )

    def _today(self, owner: StoredUser | None) -> str:
        return day_in(owner.timezone if owner else "UTC", self._now())


def _number(bot: StoredBot, owner: StoredUser | None) -> str | None:
    """The one that its owner has connected, else the one that was bought for the bot."""
    return owner.number.phone_number if owner and owner.number else bot.number


def _too_many(limit: int) -> Refused:
    details = {"limit": limit, "remaining": 0, "reset_s": 0, "retry_after_s": RETRY_AFTER_S}
    told = {name: str(value) for name, value in details.items()}
    return Refused("bot_limit", f"You have {limit} bots, and no more are allowed.", told)
