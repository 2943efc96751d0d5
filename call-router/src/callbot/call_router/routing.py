"""Which bot takes a call, which stream may be one of its streams, and whether it is Twilio that asks."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from callbot.call_router.accounts import Accounts, CalledNumber
from callbot.call_router.bot_store import StoredBot
from callbot.call_router.bots import bot_not_found
from callbot.call_router.call_limits import CallLimits
from callbot.call_router.call_store import CallRecord
from callbot.call_router.instants import utc_now
from callbot.call_router.phrases_ahead import phrases_of
from callbot.call_router.settings import Settings
from callbot.call_router.signatures import Signatures, bad_signature
from callbot.call_router.stores import Stores
from callbot.call_router.tokens import VALID_FOR, CallTokens
from callbot.runtime.errors import Refused
from callbot.schemas.bots import VoiceStatus
from callbot.schemas.calls import (
    AdmitStream,
    CallBrief,
    CallChecked,
    CallRoute,
    CheckCall,
    ReenterCall,
    RouteCall,
    RouteVerdict,
    TwilioRequest,
)
from callbot.schemas.seats import MAX_GENERATION

RENEW_AFTER = VALID_FOR - timedelta(seconds=15)
"""A repeated question gets the same token, unless too little of its time is left for the stream to start."""
OVER = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""https://www.twilio.com/docs/voice/twiml#callstatus-values"""


class Routing:
    def __init__(
        self,
        stores: Stores,
        accounts: Accounts,
        tokens: CallTokens,
        voice_status: Callable[[str], Awaitable[VoiceStatus]],
        settings: Settings,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._bots, self._calls, self._users = stores.bots, stores.calls, stores.users
        self._default_bots = stores.default_bots
        self._accounts = accounts
        self._signatures = Signatures.of(settings.auth, settings.public_url)
        self._tokens = tokens
        self._voice_status = voice_status
        self._platform_sid = settings.twilio_account_sid
        token = settings.twilio_auth_token.get_secret_value()
        self._platform_tokens = [token] if token else []
        self._limits = CallLimits(stores, settings, now)
        self._now = now

    async def route(self, question: RouteCall) -> CallRoute:
        """The same question gets the same verdict, whatever has become of the bot meanwhile."""
        if question.bot_id is not None:
            bot = await self._bots.get(question.bot_id)
            if bot is None:
                raise bot_not_found()
            self._signatures.check(question.request, await self._accounts.tokens_for_bot(bot))
            record = await self._known(question, bot.user_id)
        else:
            number = await self._number(question)
            record = await self._known(question, number.user_id)
            bot = await (self._bots.get(record.bot_id) if record else self._bot_of(number))
        if record is None:
            assert bot is not None
            record = await self._first(question, bot)
        if self._now() - record.token_issued_at > RENEW_AFTER:
            record = await self._renewed(record)
        return self._answer(record, bot)

    async def admit(self, question: AdmitStream) -> CallBrief:
        call_id, bot_id = question.call_id, question.bot_id
        if not self._tokens.verifies(question.token, call_id, bot_id, self._now()):
            raise Refused("invalid_token", "The token is not for this stream, or too old")
        bot, record = await asyncio.gather(self._bots.get(bot_id), self._calls.get(call_id))
        if bot is None:
            raise bot_not_found()
        if record is None or record.verdict is not RouteVerdict.CONNECT:
            raise Refused("invalid_token", "This call was not connected")
        voice_status = await self._voice_status(bot.voice)
        token_id = self._tokens.token_id(question.token)
        generation = await self._calls.begin_stream(call_id, token_id, MAX_GENERATION)
        if generation is None:
            raise Refused("invalid_token", "The token is spent, or the call over, or had too many streams")
        if not await self._limits.stream_begins(record, bot):
            raise Refused("invalid_token", "The stream comes too late: all lines of this user are busy")
        return _brief(bot, record, generation, token_id, voice_status)

    async def check(self, question: CheckCall) -> CallChecked:
        """Is this request Twilio's, and of the call that it names?

        When it says that the call is over, its seat is free; and when no stream of it ever began, its record
        is closed here.
        """
        call_id = question.call_id
        if question.signed_call:
            signed = self._tokens.call_of(question.signed_call)
            if signed is None or call_id not in (None, signed):
                raise bad_signature()
            call_id = signed
        record = await self._calls.get(call_id) if call_id else None
        self._signatures.check(question.request, await self._tokens_of(record, question.request))
        if record is None:
            raise Refused("call_not_found", "There is no such call")
        self._check_account(record, question.request)
        if _field(question.request, "CallStatus") in OVER and record.ended_at is None:
            await self._end_unheard(record)
        return CallChecked(call_id=record.call_id, bot_id=record.bot_id)

    async def reenter(self, question: ReenterCall) -> CallRoute:
        """A new token for a call that goes on."""
        record = await self._calls.get(question.call_id)
        if record is None or record.bot_id != question.bot_id or record.verdict is not RouteVerdict.CONNECT:
            raise Refused("call_not_found", "There is no such call")
        transferred_in = question.transferred_in
        if transferred_in is None and record.ended_at is not None:
            raise Refused("call_over", "The call has ended")
        bot = await self._bots.get(question.bot_id)
        if bot is None:
            raise bot_not_found()
        if transferred_in is None:
            return self._answer(await self._renewed(record), bot)
        return self._answer(await self._reopened(record, transferred_in), bot)

    # Who asks, and for which bot

    async def _number(self, question: RouteCall) -> CalledNumber:
        """What was called. Raises Refused(`invalid_bot`, `bad_signature`)."""
        to = question.to_number
        number = await self._accounts.bot_or_owner_for_number(to) if to else None
        if number is None:
            raise _invalid_bot()
        token = await self._accounts.token_for_number(to)
        self._signatures.check(question.request, [token] if token else [])
        return number

    async def _bot_of(self, number: CalledNumber) -> StoredBot:
        """The number's own, else its owner's default bot. Raises Refused(`invalid_bot`)."""
        if number.bot_id is not None:
            bot = await self._bots.get(number.bot_id)
        else:
            bot = await self._default_bots.of(number.user_id, await self._users.get(number.user_id))
        if bot is None:
            raise _invalid_bot()
        return bot

    async def _known(self, question: RouteCall, user_id: str) -> CallRecord | None:
        """The record of this call. Raises Refused when it is another's."""
        record = await self._calls.get(question.call_id) if question.call_id else None
        if record is not None:
            _check_same(record, question, user_id)
        return record

    async def _tokens_of(self, record: CallRecord | None, request: TwilioRequest) -> list[str]:
        """Of the account that owns the call's bot; where there is no bot any more, of the number called."""
        bot = await self._bots.get(record.bot_id) if record else None
        if bot is not None:
            return await self._accounts.tokens_for_bot(bot)
        called = record.to_number if record else _field(request, "To")
        token = await self._accounts.token_for_number(called) if called else None
        # A number that was bought for a bot goes with it, while its last call may still go on.
        platform = self._platform_tokens if record and record.account_sid == self._platform_sid else []
        return [*([token] if token else []), *platform]

    def _check_account(self, record: CallRecord, request: TwilioRequest) -> None:
        """Raises Refused(`bad_signature`): another account asks. Whoever need not sign need not name one."""
        account_sid = _field(request, "AccountSid")
        silent = not account_sid and self._signatures.unsigned_allowed
        if record.account_sid and account_sid != record.account_sid and not silent:
            raise bad_signature()

    # A call's first question

    async def _first(self, question: RouteCall, bot: StoredBot) -> CallRecord:
        """Counts the call and keeps its record, both once however often Twilio asks at the same time."""
        if question.call_id is None and not self._signatures.unsigned_allowed:
            raise Refused("invalid_request", "CallSid is missing")
        call_id = question.call_id or "CA" + secrets.token_hex(16)
        permit = await self._limits.ask(bot, call_id)
        kept, ours = await self._calls.keep(self._record(question, call_id, bot, permit.verdict))
        await self._limits.settle(permit, bot, kept, ours=ours)
        _check_same(kept, question, bot.user_id)
        return kept

    def _record(self, question: RouteCall, call_id: str, bot: StoredBot, verdict: RouteVerdict) -> CallRecord:
        """A call that is not connected is over as soon as its caller has heard why."""
        now = self._now()
        connects = verdict is RouteVerdict.CONNECT
        return CallRecord(
            call_id=call_id,
            bot_id=bot.id,
            user_id=bot.user_id,
            verdict=verdict,
            account_sid=question.account_sid,
            from_number=question.from_number,
            to_number=question.to_number,
            routed_at=now,
            token_issued_at=now,
            ended_at=None if connects else now,
            end_reason=None if connects else verdict.value,
            duration_ms=None if connects else 0,
        )

    # A call that is known

    async def _renewed(self, record: CallRecord) -> CallRecord:
        renewed = await self._calls.renew_token(record.call_id, record.token_issued_at, self._now())
        if renewed is None:
            # Another replica has just answered the same question, or the call has ended.
            renewed = await self._calls.get(record.call_id)
        return renewed or record

    async def _reopened(self, record: CallRecord, transferred_in: int) -> CallRecord:
        """Nobody has taken its transfer: as if it had not ended, where there is still room for it."""
        if not record.may_reopen:
            raise Refused("call_over", "The call has ended otherwise")
        if not await self._limits.comes_back(record):
            raise Refused("busy", "All lines of this user are busy by now")
        reopened = await self._calls.reopen(record, transferred_in, self._now())
        # Else another replica has just answered the same question.
        return reopened or await self._calls.get(record.call_id) or record

    async def _end_unheard(self, record: CallRecord) -> None:
        await self._calls.end_unheard(record, self._now())
        # Also of a call that its gateway will report: it may have died before it wrote anything down.
        await self._limits.call_ended(record)

    def _answer(self, record: CallRecord, bot: StoredBot | None) -> CallRoute:
        connects = record.verdict is RouteVerdict.CONNECT
        return CallRoute(
            verdict=record.verdict,
            bot_id=record.bot_id,
            call_id=record.call_id,
            token=self._tokens.token(record.call_id, record.bot_id, record.token_issued_at),
            signed_call=self._tokens.signed_call(record.call_id),
            phrases=phrases_of(bot) if bot is not None and connects else None,
        )


def _invalid_bot() -> Refused:
    return Refused("invalid_bot", "No bot is named and no number identifies one")


def _conflict() -> Refused:
    return Refused("conflict", "This CallSid belongs to another call")


def _check_same(record: CallRecord, question: RouteCall, user_id: str) -> None:
    if record.account_sid != question.account_sid:
        raise bad_signature()
    if record.user_id != user_id or question.bot_id not in (None, record.bot_id):
        raise _conflict()


def _field(request: TwilioRequest, name: str) -> str:
    """A parameter of Twilio's: in the form, or of a GET in the query; empty where it is missing."""
    for field, value in request.form:
        if field == name:
            return value
    return parse_qs(urlsplit(request.target).query).get(name, [""])[0]


def _brief(
    bot: StoredBot, record: CallRecord, generation: int, token_id: str, voice_status: VoiceStatus
) -> CallBrief:
    return CallBrief(
        call_id=record.call_id,
        bot_id=bot.id,
        generation=generation,
        stream_token_id=token_id,
        voice_status=voice_status,
        from_number=record.from_number,
        to_number=record.to_number,
        **bot.model_dump(exclude={"id", "status", "created_at", "version", "number", "slot", "usage"}),
    )
