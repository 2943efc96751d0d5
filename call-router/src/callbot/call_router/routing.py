"""Which bot takes a call, and which stream may be one of its streams."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from callbot.call_router.bots import bot_not_found, utc_now
from callbot.call_router.store import CallRecord, Store, StoredBot
from callbot.call_router.tokens import VALID_FOR, KeyRing
from callbot.runtime.errors import Refused
from callbot.schemas.bots import BotStatus
from callbot.schemas.calls import AdmitStream, CallBrief, CallRoute, ReenterCall, RouteCall, RouteVerdict
from callbot.schemas.seats import MAX_GENERATION

RENEW_AFTER = VALID_FOR - timedelta(seconds=15)
"""A repeated question gets the same token, unless too little of its time is left for the stream to start."""


class Routing:
    def __init__(self, store: Store, keys: KeyRing, now: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._keys = keys
        self._now = now

    async def route(self, question: RouteCall) -> CallRoute:
        """The same question gets the same verdict, whatever has become of the bot meanwhile."""
        if question.bot_id is None:
            raise Refused("invalid_bot", "No bot is named and no number identifies one")
        bot = await self._store.bot(question.bot_id)
        if bot is None:
            raise bot_not_found()
        record = await self._store.keep_call(self._new_record(question, bot))
        if record.bot_id != bot.id or record.account_sid != question.account_sid:
            raise Refused("conflict", "This CallSid belongs to another call")
        if self._now() - record.token_issued_at > RENEW_AFTER:
            record = await self._renewed(record)
        return self._answer(record)

    async def admit(self, question: AdmitStream) -> CallBrief:
        call_id, bot_id = question.call_id, question.bot_id
        if not self._keys.verifies(question.token, call_id, bot_id, self._now()):
            raise Refused("invalid_token", "The token is not for this stream, or too old")
        bot = await self._store.bot(bot_id)
        if bot is None:
            raise bot_not_found()
        record = await self._store.call(call_id)
        if record is None or record.verdict is not RouteVerdict.CONNECT:
            raise Refused("invalid_token", "This call was not connected")
        generation = await self._store.begin_stream(call_id, MAX_GENERATION)
        if generation is None:
            raise Refused("invalid_token", "The call is over, or has had too many streams")
        return _brief(bot, record, generation)

    async def reenter(self, question: ReenterCall) -> CallRoute:
        """A new token for a call that goes on."""
        record = await self._store.call(question.call_id)
        if record is None or record.bot_id != question.bot_id or record.verdict is not RouteVerdict.CONNECT:
            raise Refused("call_not_found", "There is no such call")
        if record.ended_at is not None:
            raise Refused("call_over", "The call has ended")
        if await self._store.bot(question.bot_id) is None:
            raise bot_not_found()
        return self._answer(await self._renewed(record))

    def _new_record(self, question: RouteCall, bot: StoredBot) -> CallRecord:
        now = self._now()
        paused = bot.status is BotStatus.PAUSED
        return CallRecord(
            call_id=question.call_id or "CA" + secrets.token_hex(16),
            bot_id=bot.id,
            user_id=bot.user_id,
            verdict=RouteVerdict.PAUSED if paused else RouteVerdict.CONNECT,
            account_sid=question.account_sid,
            from_number=question.from_number,
            to_number=question.to_number,
            routed_at=now,
            token_issued_at=now,
        )

    async def _renewed(self, record: CallRecord) -> CallRecord:
        renewed = await self._store.renew_token(record.call_id, record.token_issued_at, self._now())
        if renewed is None:
            # Another replica has just answered the same question, or the call has ended.
            renewed = await self._store.call(record.call_id)
        return renewed or record

    def _answer(self, record: CallRecord) -> CallRoute:
        return CallRoute(
            verdict=record.verdict,
            bot_id=record.bot_id,
            call_id=record.call_id,
            token=self._keys.token(record.call_id, record.bot_id, record.token_issued_at),
        )


def _brief(bot: StoredBot, record: CallRecord, generation: int) -> CallBrief:
    return CallBrief(
        call_id=record.call_id,
        bot_id=bot.id,
        generation=generation,
        from_number=record.from_number,
        to_number=record.to_number,
        **bot.model_dump(exclude={"id", "status", "created_at"}),
    )
