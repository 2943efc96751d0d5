"""Numbers that are bought for bots with the platform's own Twilio account, and given back.

What is intended is written down before Twilio is asked, so that a process may die between any two steps:
the sweeper finds what is not settled, looks at Twilio for what was bought, and gives it back.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from callbot.call_router.instants import utc_now
from callbot.call_router.number_settings import NumberSettings
from callbot.call_router.purchase_store import Purchase, PurchaseState
from callbot.call_router.settings import Settings
from callbot.call_router.stores import Stores
from callbot.call_router.twilio_api import PhoneNumber, TwilioAccount, TwilioApi
from callbot.call_router.twilio_errors import TwilioError, TwilioRejected, TwilioUnavailable
from callbot.runtime.errors import Refused

BUY_WITHIN_S = 8.0
RELEASE_WITHIN_S = 5.0
SETTLE_WITHIN_S = 10.0
SETTLED_AFTER = timedelta(seconds=60)
"""A purchase that has not come to an end by then never will; long after the last moment of BUY_WITHIN_S."""
RETRY_AFTER = timedelta(seconds=60)
LOOK_AFTER = timedelta(hours=1)
"""At a number that is owned: does its bot still exist?"""
NUMBERS_A_DAY_FOR_A_PLACE = 5
"""A number costs a month, however soon it is given back: a user's places for bots have so many in a day."""
AT_ONCE = 50
CANDIDATES = 3
NOT_AVAILABLE = frozenset({21421, 21422})
"""Somebody else has bought it meanwhile: https://www.twilio.com/docs/api/errors/21422"""
log = logging.getLogger(__name__)


def platform_account(settings: Settings) -> TwilioAccount | None:
    """The operator's own, where one is set."""
    if not settings.twilio_account_sid:
        return None
    return TwilioAccount(settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value())


def name_at_twilio(bot_id: str) -> str:
    """A number's FriendlyName, by which it is found again."""
    return f"callbot {bot_id}"


class Purchases:
    def __init__(
        self, stores: Stores, twilio: TwilioApi, settings: Settings, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._purchases = stores.purchases
        self._counted = stores.attempts
        self._most_a_day = settings.bots_per_user * NUMBERS_A_DAY_FOR_A_PLACE
        self._bots = stores.bots
        self._users = stores.users
        self._twilio = twilio
        self._platform = platform_account(settings)
        self._where = (settings.number_country, settings.number_area_code)
        self._number_settings = NumberSettings(settings.public_url)
        self._now = now

    async def buy(self, bot_id: str, user_id: str) -> str | None:
        """The number that is bought for a bot; the bot's document, which is there already, has it now.

        None: the operator has set no account, or the user has a number connected. Raises
        Refused(`twilio_unavailable`, `no_number_available`, `bot_limit`), StoreUnavailable: then the caller
        removes the bot, and nothing is left bought or the sweeper gives it back.
        """
        user = await self._users.get(user_id)
        if self._platform is None or (user is not None and user.number is not None):
            return None
        purchase = self._begun(bot_id, user_id, self._platform)
        await self._count(purchase)
        await self._purchases.keep(purchase)
        return await self._handed_over(purchase, await self._bought(self._platform, purchase))

    async def release(self, bot_id: str) -> None:
        """Gives a bot's number back, if one was bought; the sweeper goes on where Twilio fails.

        Before the bot is removed. Raises StoreUnavailable only.
        """
        now = self._now()
        purchase = await self._purchases.begin_release(bot_id, now + RETRY_AFTER)
        if purchase is None or purchase.sid is None:
            # Without a number it may still be on its way to us: too early to look for it.
            return
        try:
            async with asyncio.timeout(RELEASE_WITHIN_S):
                await self._give_back(purchase)
        except (TwilioError, TimeoutError) as e:
            _left_for_later(purchase, e)

    async def settle(self) -> None:
        """What a sweep does: whatever is due. Raises StoreUnavailable."""
        if self._platform is None:
            return
        for purchase in await self._purchases.due(self._now(), AT_ONCE):
            if not await self._purchases.postpone(purchase, self._now() + RETRY_AFTER):
                continue
            try:
                async with asyncio.timeout(SETTLE_WITHIN_S):
                    await self._settle(purchase)
            except (TwilioError, TimeoutError) as e:
                _left_for_later(purchase, e)

    def _begun(self, bot_id: str, user_id: str, account: TwilioAccount) -> Purchase:
        now = self._now()
        return Purchase(
            bot_id=bot_id,
            user_id=user_id,
            account_sid=account.sid,
            state=PurchaseState.BUYING,
            began_at=now,
            due_at=now + SETTLED_AFTER,
        )

    async def _count(self, purchase: Purchase) -> None:
        """Raises Refused(`bot_limit`): enough for one day, in UTC."""
        tomorrow = _day_of(purchase) + timedelta(days=1)
        if await self._counted.take(_counted_as(purchase), self._most_a_day, tomorrow) is None:
            wait_s = max(1, int((tomorrow - purchase.began_at).total_seconds()))
            told = {"limit": self._most_a_day, "remaining": 0, "reset_s": wait_s, "retry_after_s": wait_s}
            message = f"No more than {self._most_a_day} numbers a day are bought for one user."
            raise Refused("bot_limit", message, {name: str(value) for name, value in told.items()})

    async def _nothing_bought(self, purchase: Purchase) -> None:
        await self._purchases.forget(purchase.bot_id, PurchaseState.BUYING)
        await self._counted.give_back(_counted_as(purchase))

    async def _bought(self, account: TwilioAccount, purchase: Purchase) -> PhoneNumber:
        asked = False
        try:
            async with asyncio.timeout(BUY_WITHIN_S):
                found = await self._twilio.available_numbers(account, *self._where)
                for phone_number in found[:CANDIDATES]:
                    asked = True
                    if bought := await self._try_to_buy(account, purchase.bot_id, phone_number):
                        return bought
        except (TwilioError, TimeoutError) as e:
            if asked and (isinstance(e, TimeoutError) or _may_have_happened(e)):
                # Twilio may be about to do it. The time to look for it counts from now.
                again = self._begun(purchase.bot_id, purchase.user_id, account)
                await self._purchases.keep(again)
            else:
                await self._nothing_bought(purchase)
            log.warning("no number was bought", extra={"bot_id": purchase.bot_id, "reason": _reason(e)})
            raise Refused("twilio_unavailable", "No number could be bought. Please try again.") from None
        await self._nothing_bought(purchase)
        raise Refused("no_number_available", "There is no phone number to buy at the moment.")

    async def _try_to_buy(self, account: TwilioAccount, bot_id: str, number: str) -> PhoneNumber | None:
        ours = self._number_settings.of_a_new_number()
        try:
            return await self._twilio.buy(account, number, name_at_twilio(bot_id), ours)
        except TwilioRejected as e:
            if e.code in NOT_AVAILABLE:
                return None
            raise

    async def _handed_over(self, purchase: Purchase, bought: PhoneNumber) -> str:
        bot_id = purchase.bot_id
        if not await self._purchases.set_number(bot_id, bought.sid, bought.phone_number):
            # The bot was deleted meanwhile, or this process slept and the sweeper has given up on it.
            known = {"sid": bought.sid, "phone_number": bought.phone_number}
            await self._purchases.keep(purchase.model_copy(update=known))
        elif await self._bots.set_number(bot_id, bought.phone_number):
            due_at = self._now() + LOOK_AFTER
            await self._purchases.move(bot_id, PurchaseState.BUYING, PurchaseState.OWNED, due_at)
            return bought.phone_number
        await self.release(bot_id)
        raise Refused("twilio_unavailable", "The bot was deleted before it had its number.")

    async def _settle(self, purchase: Purchase) -> None:
        if purchase.state is not PurchaseState.RELEASING:
            bot = await self._bots.get(purchase.bot_id)
            to = PurchaseState.RELEASING
            if bot is not None and bot.number is not None and bot.number == purchase.phone_number:
                to = PurchaseState.OWNED
            due_at = self._now() + (LOOK_AFTER if to is PurchaseState.OWNED else RETRY_AFTER)
            moved = await self._purchases.move(purchase.bot_id, purchase.state, to, due_at)
            if moved is None or to is PurchaseState.OWNED:
                return
            purchase = moved
        await self._give_back(purchase)

    async def _give_back(self, purchase: Purchase) -> None:
        account = self._platform
        if account is None or account.sid != purchase.account_sid:
            reason = "it was bought with another account"
            log.warning("a number cannot be given back", extra={"bot_id": purchase.bot_id, "reason": reason})
            return
        sids = [purchase.sid] if purchase.sid else await self._sids_of(account, purchase.bot_id)
        for sid in sids:
            await self._twilio.release(account, sid)
            log.info("a number was given back", extra={"bot_id": purchase.bot_id, "number_sid": sid})
        if purchase.phone_number is not None:
            # Its bot is there still when it could not be removed.
            await self._bots.lose_number(purchase.bot_id, purchase.phone_number)
        await self._purchases.forget(purchase.bot_id, PurchaseState.RELEASING)

    async def _sids_of(self, account: TwilioAccount, bot_id: str) -> list[str]:
        return [number.sid for number in await self._twilio.numbers_named(account, name_at_twilio(bot_id))]


def _day_of(purchase: Purchase) -> datetime:
    return purchase.began_at.replace(hour=0, minute=0, second=0, microsecond=0)


def _counted_as(purchase: Purchase) -> str:
    return f"numbers {purchase.user_id} {_day_of(purchase).date()}"


def _may_have_happened(error: TwilioError) -> bool:
    return isinstance(error, TwilioUnavailable) and error.may_have_happened


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _left_for_later(purchase: Purchase, error: Exception) -> None:
    log.warning("a number is given back later", extra={"bot_id": purchase.bot_id, "reason": _reason(error)})
