"""Answers what the API asks about bots."""

import base64
import binascii
import re
import secrets
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from callbot.call_router.bot_store import StoredBot
from callbot.call_router.stores import Stores
from callbot.runtime.errors import Refused
from callbot.runtime.sealing import Sealing, webhook_secret_of
from callbot.runtime.webhook_address import WebhookAddresses
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
from callbot.schemas.users import Done

ID_LETTERS = string.ascii_letters + string.digits
ID_LENGTH = 12
SECRET_BYTES = 32
_CURSOR = re.compile(r"([0-9]{1,14})\.([A-Za-z0-9_-]{1,64})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def utc_now() -> datetime:
    """To the millisecond, as the database keeps it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def bot_not_found() -> Refused:
    return Refused("bot_not_found", "There is no such bot")


class Bots:
    def __init__(
        self,
        stores: Stores,
        sealing: Sealing,
        addresses: WebhookAddresses,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._bots = stores.bots
        self._calls = stores.calls
        self._sealing = sealing
        self._addresses = addresses
        self._now = now

    async def create(self, user_id: UserId, question: CreateBot) -> Bot:
        definition = question.definition
        self._check_webhook(definition.webhook)
        bot_id = "bot_" + "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
        secret = definition.webhook_secret or secrets.token_urlsafe(SECRET_BYTES)
        bot = StoredBot(
            id=bot_id,
            user_id=user_id,
            created_at=self._now(),
            sealed_webhook_secret=self._sealing.seal(secret, webhook_secret_of(bot_id)),
            **definition.model_dump(exclude={"webhook_secret"}),
        )
        await self._bots.add(bot)
        return self._shown(bot, calls_today=0).model_copy(update={"webhook_secret": secret})

    async def get(self, user_id: UserId, question: BotRef) -> Bot:
        bot = await self._bots.get(question.bot_id)
        if bot is None or bot.user_id != user_id:
            raise bot_not_found()
        return await self._counted(bot)

    async def list(self, user_id: UserId, question: ListBots) -> BotPage:
        """Oldest first, so that a page stays what it was while bots are made."""
        after = _read_cursor(question.cursor) if question.cursor else None
        found = await self._bots.of_user(user_id, after, question.limit + 1)
        bots, more = found[: question.limit], len(found) > question.limit
        calls = await self._calls.calls_since([bot.id for bot in bots], self._today())
        return BotPage(
            bots=[
                BotSummary(
                    id=bot.id,
                    number=bot.number,
                    goal=bot.goal,
                    status=bot.status,
                    calls_today=calls.get(bot.id, 0),
                )
                for bot in bots
            ],
            next_cursor=_cursor(bots[-1]) if more else None,
        )

    async def update(self, user_id: UserId, question: UpdateBot) -> Bot:
        changes = question.changes.changes()
        if "webhook" in changes:
            self._check_webhook(question.changes.webhook)
        if "webhook_secret" in changes:
            secret = str(changes.pop("webhook_secret"))
            changes["sealed_webhook_secret"] = self._sealing.seal(secret, webhook_secret_of(question.bot_id))
        bot = await self._bots.change(user_id, question.bot_id, changes)
        if bot is None:
            raise bot_not_found()
        return await self._counted(bot)

    async def delete(self, user_id: UserId, question: BotRef) -> Done:
        if not await self._bots.remove(user_id, question.bot_id):
            raise bot_not_found()
        return Done(message="Bot deleted")

    async def _counted(self, bot: StoredBot) -> Bot:
        calls = await self._calls.calls_since([bot.id], self._today())
        return self._shown(bot, calls_today=calls.get(bot.id, 0))

    def _shown(self, bot: StoredBot, *, calls_today: int) -> Bot:
        return Bot(
            voice_status=VoiceStatus.OK,
            default=False,
            calls_today=calls_today,
            **bot.model_dump(exclude={"user_id", "sealed_webhook_secret"}),
        )

    def _today(self) -> datetime:
        return self._now().replace(hour=0, minute=0, second=0, microsecond=0)

    def _check_webhook(self, url: str) -> None:
        if reason := self._addresses.refusal_of_url(url):
            raise Refused("invalid_request", f"webhook: {reason}", {"field": "webhook"})


def _cursor(bot: StoredBot) -> str:
    at_ms = (bot.created_at - _EPOCH) // _MS
    return base64.urlsafe_b64encode(f"{at_ms}.{bot.id}".encode()).rstrip(b"=").decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        said = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        if parts := _CURSOR.fullmatch(said):
            return _EPOCH + int(parts[1]) * _MS, parts[2]
    except (ValueError, OverflowError, binascii.Error):
        pass
    raise Refused("invalid_request", "cursor: is not one of ours", {"field": "cursor"})
