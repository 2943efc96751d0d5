"""Answers what the API asks about bots."""

import base64
import binascii
import re
import secrets
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from callbot.call_router.store import Store, StoredBot
from callbot.runtime.errors import Refused
from callbot.runtime.settings import is_loopback
from callbot.schemas.bots import (
    Bot,
    BotPage,
    BotRef,
    BotSummary,
    CreateBot,
    Deleted,
    ListBots,
    UpdateBot,
    VoiceStatus,
)

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
        store: Store,
        *,
        http_to_loopback: bool,
        working_voices: frozenset[str],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._http_to_loopback = http_to_loopback
        self._working_voices = working_voices
        self._now = now

    async def create(self, question: CreateBot) -> Bot:
        definition = question.definition
        self._check_webhook(definition.webhook)
        bot = StoredBot(
            id="bot_" + "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH)),
            user_id=question.user_id,
            created_at=self._now(),
            webhook_secret=definition.webhook_secret or secrets.token_urlsafe(SECRET_BYTES),
            **definition.model_dump(exclude={"webhook_secret"}),
        )
        await self._store.add_bot(bot)
        return self._shown(bot, calls_today=0, with_secret=True)

    async def get(self, question: BotRef) -> Bot:
        bot = await self._store.bot(question.bot_id)
        if bot is None or bot.user_id != question.user_id:
            raise bot_not_found()
        return await self._counted(bot)

    async def list(self, question: ListBots) -> BotPage:
        """Oldest first, so that a page stays what it was while bots are made."""
        after = _read_cursor(question.cursor) if question.cursor else None
        found = await self._store.bots_of(question.user_id, after, question.limit + 1)
        bots, more = found[: question.limit], len(found) > question.limit
        calls = await self._store.calls_since([bot.id for bot in bots], self._today())
        return BotPage(
            bots=[
                BotSummary(
                    id=bot.id, number=None, goal=bot.goal, status=bot.status, calls_today=calls.get(bot.id, 0)
                )
                for bot in bots
            ],
            next_cursor=_cursor(bots[-1]) if more else None,
        )

    async def update(self, question: UpdateBot) -> Bot:
        changes = question.changes.changes()
        if "webhook" in changes:
            self._check_webhook(question.changes.webhook)
        bot = await self._store.change_bot(question.user_id, question.bot_id, changes)
        if bot is None:
            raise bot_not_found()
        return await self._counted(bot)

    async def delete(self, question: BotRef) -> Deleted:
        if not await self._store.remove_bot(question.user_id, question.bot_id):
            raise bot_not_found()
        return Deleted()

    async def _counted(self, bot: StoredBot) -> Bot:
        calls = await self._store.calls_since([bot.id], self._today())
        return self._shown(bot, calls_today=calls.get(bot.id, 0))

    def _shown(self, bot: StoredBot, *, calls_today: int, with_secret: bool = False) -> Bot:
        works = bot.voice.partition(":")[0] in self._working_voices
        return Bot(
            number=None,
            voice_status=VoiceStatus.OK if works else VoiceStatus.FALLBACK,
            calls_today=calls_today,
            webhook_secret=bot.webhook_secret if with_secret else None,
            **bot.model_dump(exclude={"user_id", "webhook_secret"}),
        )

    def _today(self) -> datetime:
        return self._now().replace(hour=0, minute=0, second=0, microsecond=0)

    def _check_webhook(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme == "https" or (self._http_to_loopback and is_loopback(parts.hostname)):
            return
        allowed = "https, or http to this machine" if self._http_to_loopback else "https"
        raise Refused("invalid_request", f"webhook: must be {allowed}", {"field": "webhook"})


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
