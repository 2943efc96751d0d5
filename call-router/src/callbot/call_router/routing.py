"""Which bot takes a call, and which stream may be one of its streams."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from callbot.call_router.bot_store import StoredBot
from callbot.call_router.bots import bot_not_found, utc_now
from callbot.call_router.call_store import CallRecord
from callbot.call_router.stores import Stores
from callbot.call_router.tokens import VALID_FOR, CallTokens
from callbot.runtime.errors import Refused
from callbot.schemas.bots import BotStatus
from callbot.schemas.calls import (
    AdmitStream,
    CallBrief,
    CallChecked,
    CallRoute,
    CheckCall,
    ReenterCall,
    RouteCall,
    RouteVerdict,
)
from callbot.schemas.seats import MAX_GENERATION

RENEW_AFTER = VALID_FOR - timedelta(seconds=15)
"""A repeated question gets the same token, unless too little of its time is left for the stream to start."""


class Routing:
    def __init__(self, stores: Stores, tokens: CallTokens, now: Callable[[], datetime] = utc_now) -> None:
        self._bots = stores.bots
        self._calls = stores.calls
        self._tokens = tokens
        self._now = now

    async def route(self, question: RouteCall) -> CallRoute:
        """The same question gets the same verdict, whatever has become of the bot meanwhile."""
        if question.bot_id is None:
            raise Refused("invalid_bot", "No bot is named and no number identifies one")
        bot = await self._bots.get(question.bot_id)
        if bot is None:
            raise bot_not_found()
        record = await self._calls.keep(self._new_record(question, bot))
        if record.bot_id != bot.id or record.account_sid != question.account_sid:
            raise Refused("conflict", "This CallSid belongs to another call")
        if self._now() - record.token_issued_at > RENEW_AFTER:
            record = await self._renewed(record)
        return self._answer(record)

    async def admit(self, question: AdmitStream) -> CallBrief:
        call_id, bot_id = question.call_id, question.bot_id
        if not self._tokens.verifies(question.token, call_id, bot_id, self._now()):
            raise Refused("invalid_token", "The token is not for this stream, or too old")
        bot = await self._bots.get(bot_id)
        if bot is None:
            raise bot_not_found()
        record = await self._calls.get(call_id)
        if record is None or record.verdict is not RouteVerdict.CONNECT:
            raise Refused("invalid_token", "This call was not connected")
        generation = await self._calls.begin_stream(call_id, MAX_GENERATION)
        if generation is None:
            raise Refused("invalid_token", "The call is over, or has had too many streams")
        return _brief(bot, record, generation, self._tokens.token_id(question.token))

    async def check(self, question: CheckCall) -> CallChecked:
        """Is this request Twilio's, and of the call that it names?"""
        raise Refused("internal_error", "not built yet")

    async def reenter(self, question: ReenterCall) -> CallRoute:
        """A new token for a call that goes on."""
        record = await self._calls.get(question.call_id)
        if record is None or record.bot_id != question.bot_id or record.verdict is not RouteVerdict.CONNECT:
            raise Refused("call_not_found", "There is no such call")
        if record.ended_at is not None:
            raise Refused("call_over", "The call has ended")
        if await self._bots.get(question.bot_id) is None:
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
        renewed = await self._calls.renew_token(record.call_id, record.token_issued_at, self._now())
        if renewed is None:
            # Another replica has just answered the same question, or the call has ended.
            renewed = await self._calls.get(record.call_id)
        return renewed or record

    def _answer(self, record: CallRecord) -> CallRoute:
        return CallRoute(
            verdict=record.verdict,
            bot_id=record.bot_id,
            call_id=record.call_id,
            token=self._tokens.token(record.call_id, record.bot_id, record.token_issued_at),
            signed_call=self._tokens.signed_call(record.call_id),
        )


def _brief(bot: StoredBot, record: CallRecord, generation: int, token_id: str) -> CallBrief:
    return CallBrief(
        call_id=record.call_id,
        bot_id=bot.id,
        generation=generation,
        stream_token_id=token_id,
        from_number=record.from_number,
        to_number=record.to_number,
        **bot.model_dump(exclude={"id", "status", "created_at", "version", "number"}),
    )
