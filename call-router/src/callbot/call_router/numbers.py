"""Answers what the API asks about a user's Twilio number."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from callbot.call_router.database import AlreadyThere
from callbot.call_router.instants import utc_now
from callbot.call_router.number_settings import NumberSettings
from callbot.call_router.settings import Settings, ring_of
from callbot.call_router.stores import Stores
from callbot.call_router.touching import NotOurs, Touching
from callbot.call_router.twilio_api import TwilioAccount, TwilioApi
from callbot.call_router.twilio_errors import TwilioAuthFailed, TwilioError, TwilioNotFound, TwilioRejected
from callbot.call_router.user_store import StoredNumber, StoredUser
from callbot.runtime.errors import Refused
from callbot.runtime.sealing import Sealing
from callbot.schemas.message import UserId
from callbot.schemas.numbers import Connected, ConnectTwilio, DisconnectNumber, GetNumber, MyNumber
from callbot.schemas.users import Done

WITHIN_S = 8.0
"""For everything that is asked of Twilio before an answer."""
log = logging.getLogger(__name__)


class Numbers:
    def __init__(
        self, stores: Stores, twilio: TwilioApi, settings: Settings, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._users = stores.users
        self._bots = stores.bots
        self._noted = stores.numbers
        self._twilio = twilio
        self._settings = NumberSettings(settings.public_url)
        self._now = now
        self.touching = Touching(stores, twilio, Sealing(ring_of(settings.secret_keys)), self._settings, now)

    async def connect(self, user_id: UserId, question: ConnectTwilio) -> Connected:
        user = await self._user(user_id)
        body = question.body
        account = TwilioAccount(body.account_sid, body.auth_token)
        deadline_s = asyncio.get_running_loop().time() + WITHIN_S
        try:
            async with asyncio.timeout_at(deadline_s):
                connected = await self._connect(user, account, body.phone_number_sid)
        except (TwilioError, TimeoutError) as e:
            raise _refused(e) from None
        if user.number and user.number.phone_number_sid != connected.phone_number_sid:
            await self._put_back_until(user.number.phone_number_sid, deadline_s)
        return Connected(phone_number=connected.phone_number)

    async def get(self, user_id: UserId, question: GetNumber) -> MyNumber:
        user, bots = await asyncio.gather(self._users.get(user_id), self._bots.count_of_user(user_id))
        if user is None or user.number is None:
            raise _no_number()
        return MyNumber(phone_number=user.number.phone_number, bots_count=bots)

    async def disconnect(self, user_id: UserId, question: DisconnectNumber) -> Done:
        """Where Twilio says that the number or the account is not what it was, only we forget it."""
        number = (await self._user(user_id)).number
        if number is None:
            raise _no_number()
        sid = number.phone_number_sid
        touched = self.touching.note_of(user_id, number)
        async with self.touching.held(touched, await self._noted.get(sid)):
            try:
                async with asyncio.timeout(WITHIN_S):
                    await self.touching.put_back(touched)
            except NotOurs:
                log.info("disconnected on our side only", extra={"user_id": user_id, "number_sid": sid})
            except (TwilioError, TimeoutError) as e:
                raise _refused(e) from None
            await self._users.swap_number(user_id, sid, None)
        return Done(message="Disconnected")

    async def _user(self, user_id: UserId) -> StoredUser:
        user = await self._users.get(user_id)
        if user is None:
            raise Refused("unauthorized", "There is no such user.")
        return user

    async def _connect(self, user: StoredUser, account: TwilioAccount, sid: str) -> StoredNumber:
        """Raises TwilioError, Refused(`number_taken`, `conflict`)."""
        number = await self._twilio.number(account, sid)
        holder = await self._users.by_number_sid(sid)
        if holder is not None and holder.user_id != user.user_id:
            raise _taken()
        noted = await self._noted.get(sid)
        earlier = holder.number.before if holder and holder.number else noted.before if noted else None
        before = self._settings.before(number, earlier)
        touched = self.touching.note(user.user_id, account, sid, before)
        async with self.touching.held(touched, noted):
            await self._twilio.change_number(account, sid, self._settings.ours())
            connected = StoredNumber(
                phone_number=number.phone_number,
                phone_number_sid=sid,
                account_sid=account.sid,
                sealed_auth_token=touched.sealed_auth_token,
                before=before,
                connected_at=self._now(),
            )
            await self._keep(user, connected)
        return connected

    async def _keep(self, user: StoredUser, connected: StoredNumber) -> None:
        previous = user.number
        if previous and previous.phone_number_sid != connected.phone_number_sid:
            # Noted before it is no longer the user's: from then on it has to be put back.
            touched = self.touching.note_of(user.user_id, previous)
            seen = await self._noted.get(previous.phone_number_sid)
            if not await self._noted.hold(touched, seen, self._now()):
                raise _conflict()
        try:
            old_sid = previous.phone_number_sid if previous else None
            if not await self._users.swap_number(user.user_id, old_sid, connected):
                raise _conflict()
        except AlreadyThere:
            raise _taken() from None
        await self._users.take_number_from_others(connected)

    async def _put_back_until(self, sid: str, deadline_s: float) -> None:
        """The user's number of before, as far as it can be done now; the sweeper does the rest."""
        noted = await self._noted.get(sid)
        if noted is None:
            return
        try:
            async with asyncio.timeout_at(deadline_s):
                await self.touching.put_back(noted)
        except NotOurs:
            log.info("the number of before is let go", extra={"number_sid": sid})
        except (TwilioError, TimeoutError) as e:
            log.warning("the number of before is put back later", extra={"reason": type(e).__name__})
            return
        await self._noted.forget(noted)


def _refused(error: Exception) -> Refused:
    match error:
        case TwilioAuthFailed():
            return Refused(
                "twilio_auth_failed",
                "Twilio does not accept this account SID and auth token.",
                {"field": "auth_token"},
            )
        case TwilioNotFound():
            return Refused("number_not_found", "This Twilio account has no such phone number.")
        case TwilioRejected(code=code):
            message = "Twilio does not accept the change of this phone number."
            return Refused("twilio_unavailable", message, {"twilio_code": str(code)})
        case _:
            log.warning("Twilio is out of reach", extra={"reason": str(error) or type(error).__name__})
            return Refused("twilio_unavailable", "Twilio does not answer. Please try again.")


def _no_number() -> Refused:
    return Refused("no_number", "No phone number is connected.")


def _taken() -> Refused:
    return Refused("number_taken", "Another user has connected this phone number.")


def _conflict() -> Refused:
    return Refused("conflict", "Your phone number is being changed at this moment. Please try again.")
