"""A number whose settings at Twilio are changed: noted before, put back afterwards or much later."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from callbot.call_router.database import StoreUnavailable
from callbot.call_router.number_settings import NumberSettings
from callbot.call_router.number_store import TouchedNumber
from callbot.call_router.stores import Stores
from callbot.call_router.twilio_api import TwilioAccount, TwilioApi
from callbot.call_router.twilio_errors import TwilioAuthFailed, TwilioError, TwilioNotFound
from callbot.call_router.user_store import StoredNumber, auth_token_of
from callbot.runtime.errors import Refused
from callbot.runtime.sealing import CannotOpen, Sealing

HELD_FOR = timedelta(seconds=15)
"""Longer than any request works on a number."""
RETRY_AFTER = timedelta(seconds=60)
GIVE_UP_AFTER = timedelta(days=7)
SETTLE_WITHIN_S = 10.0
AT_ONCE = 50
log = logging.getLogger(__name__)


class NotOurs(TwilioError):
    """The account or the number is out of our reach for good."""


class Touching:
    def __init__(
        self,
        stores: Stores,
        twilio: TwilioApi,
        sealing: Sealing,
        settings: NumberSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._numbers = stores.numbers
        self._users = stores.users
        self._twilio = twilio
        self._sealing = sealing
        self._settings = settings
        self._now = now

    def note(
        self, user_id: str, account: TwilioAccount, sid: str, before: Mapping[str, str]
    ) -> TouchedNumber:
        now = self._now()
        return TouchedNumber(
            phone_number_sid=sid,
            user_id=user_id,
            account_sid=account.sid,
            sealed_auth_token=self._sealing.seal(account.auth_token, auth_token_of(user_id)),
            before=dict(before),
            since=now,
            held_until=now + HELD_FOR,
        )

    def note_of(self, user_id: str, number: StoredNumber) -> TouchedNumber:
        """Of a number that is connected, before it is no longer."""
        now = self._now()
        return TouchedNumber(
            user_id=user_id,
            since=now,
            held_until=now + HELD_FOR,
            **number.model_dump(exclude={"phone_number", "connected_at"}),
        )

    @asynccontextmanager
    async def held(self, touched: TouchedNumber, seen: TouchedNumber | None) -> AsyncIterator[None]:
        """When the block fails, the number is left to the sweeper, which puts it back unless it is connected.

        Raises Refused(`conflict`): somebody else is at work on it.
        """
        if not await self._numbers.hold(touched, seen, self._now()):
            raise Refused("conflict", "This number is being changed at this moment. Please try again.")
        try:
            yield
        except BaseException:
            await asyncio.shield(self._numbers.free(touched, self._now()))
            raise
        try:
            await self._numbers.forget(touched)
        except StoreUnavailable as e:
            log.warning("a note is left to the sweeper", extra={"reason": str(e)})

    async def put_back(self, touched: TouchedNumber) -> None:
        """Raises NotOurs, TwilioError."""
        sid = touched.phone_number_sid
        try:
            token = self._sealing.open(touched.sealed_auth_token, auth_token_of(touched.user_id))
            account = TwilioAccount(touched.account_sid, token)
            number = await self._twilio.number(account, sid)
            if changes := self._settings.put_back(number, touched.before):
                await self._twilio.change_number(account, sid, changes)
        except (TwilioAuthFailed, TwilioNotFound, CannotOpen) as e:
            log.warning("a number cannot be put back", extra={"number_sid": sid, "reason": str(e)})
            raise NotOurs(type(e).__name__) from None

    async def settle(self) -> None:
        """What a sweep does: whatever is due. Raises StoreUnavailable."""
        for seen in await self._numbers.due(self._now(), AT_ONCE):
            mine = seen.model_copy(update={"held_until": self._now() + HELD_FOR})
            if await self._numbers.hold(mine, seen, self._now()):
                await self._settle(mine)

    async def _settle(self, touched: TouchedNumber) -> None:
        sid = touched.phone_number_sid
        if await self._users.by_number_sid(sid) is None:
            try:
                async with asyncio.timeout(SETTLE_WITHIN_S):
                    await self.put_back(touched)
                log.info("a number was put back", extra={"number_sid": sid})
            except NotOurs:
                log.info("a number is let go", extra={"number_sid": sid})
            except (TwilioError, TimeoutError) as e:
                if self._now() - touched.since < GIVE_UP_AFTER:
                    await self._numbers.free(touched, self._now() + RETRY_AFTER)
                    return
                log.error("a number was never put back", extra={"number_sid": sid, "reason": str(e)})
        await self._numbers.forget(touched)
