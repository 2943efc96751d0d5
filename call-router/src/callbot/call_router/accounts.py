"""Whose Twilio account a call comes from: the platform's for bought numbers, else the user's own."""

import logging
from dataclasses import dataclass

from callbot.call_router.bot_store import StoredBot
from callbot.call_router.settings import Settings, ring_of
from callbot.call_router.stores import Stores
from callbot.call_router.user_store import StoredUser, auth_token_of
from callbot.runtime.sealing import CannotOpen, Sealing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CalledNumber:
    """What a number that was called stands for."""

    user_id: str
    bot_id: str | None
    """The bot that the number was bought for; None: it is the user's own, and their default bot answers."""


class Accounts:
    """Every method raises StoreUnavailable."""

    def __init__(self, stores: Stores, settings: Settings) -> None:
        self._users = stores.users
        self._purchases = stores.purchases
        self._sealing = Sealing(ring_of(settings.secret_keys))
        self._platform_token = settings.twilio_auth_token.get_secret_value() or None

    async def token_for_bot(self, bot: StoredBot) -> str | None:
        """The auth token that signs requests for this bot: of the platform when its number was bought, else
        of the owner's connected number. None: there is no account."""
        if bot.number is not None:
            return self._platform_token
        return self._token_of(await self._users.get(bot.user_id))

    async def tokens_for_bot(self, bot: StoredBot) -> list[str]:
        """Of every account that may ask for this bot: a bot with a bought number also takes calls of its
        owner's connected number."""
        platform = self._platform_token if bot.number is not None else None
        own = self._token_of(await self._users.get(bot.user_id))
        return [token for token in (platform, own) if token is not None]

    async def token_for_number(self, phone_number: str) -> str | None:
        """None: nobody has this number, or its token cannot be opened any more."""
        if await self._purchases.of_number(phone_number) is not None:
            return self._platform_token
        return self._token_of(await self._users.by_phone_number(phone_number))

    async def bot_or_owner_for_number(self, phone_number: str) -> CalledNumber | None:
        """`phone_number` in E.164; None: it is nobody's."""
        if (bought := await self._purchases.of_number(phone_number)) is not None:
            return CalledNumber(user_id=bought.user_id, bot_id=bought.bot_id)
        user = await self._users.by_phone_number(phone_number)
        return None if user is None else CalledNumber(user_id=user.user_id, bot_id=None)

    def _token_of(self, user: StoredUser | None) -> str | None:
        if user is None or user.number is None:
            return None
        try:
            return self._sealing.open(user.number.sealed_auth_token, auth_token_of(user.user_id))
        except CannotOpen as e:
            log.error("an auth token cannot be opened", extra={"user_id": user.user_id, "reason": str(e)})
            return None
