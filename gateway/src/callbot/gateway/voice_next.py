"""What Twilio asks of a call that exists: what to do next, and that it is over."""

import asyncio
import logging
from datetime import UTC, datetime

from aiohttp import web
from nats.errors import Error as NatsError
from pydantic import ValidationError

from callbot.gateway import twilio_request, twiml
from callbot.gateway.keys import BUS, CALLS, SETTINGS
from callbot.gateway.live_call import Platform
from callbot.gateway.memory import Journals
from callbot.gateway.phrases import load
from callbot.gateway.transfers import REENTRIES_IN_A_MINUTE, Next, caller_id, result_of, what_next
from callbot.gateway.twilio_request import InvalidCall, VoiceRequest
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError, Refused
from callbot.schemas.calls import (
    CallChecked,
    CallEnded,
    CallJournal,
    CallRoute,
    CallState,
    CheckCall,
    ReenterCall,
    StageFallback,
)
from callbot.schemas.seats import MAX_GENERATION, CallOver
from callbot.schemas.subjects import CALL_CHECK, CALL_OVER, CALL_REENTER

log = logging.getLogger(__name__)
ROUTE_WITHIN_S = 2.0
OWN_WORD_WITHIN_S = 2.0
"""The call's own gateway may just be hearing of the end too, and knows why."""
AFTER_ALL_EVENTS = 1_000_000
RESULT_OF_TRANSFER = AFTER_ALL_EVENTS + 1
"""The numbers of events that the call itself did not write; the same however often Twilio asks."""
LONGEST_SIGNED_CALL = 200
OVER = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""https://www.twilio.com/docs/voice/twiml#callstatus-values"""
BROKEN = load()["goodbye"].text
BUSY = "I'm sorry, all lines are busy at the moment. Please call again later. Goodbye."


async def voice_next(request: web.Request) -> web.Response:
    """`/v1/voice/next`: the stream has ended; the state of the call says what follows."""
    asked = await twilio_request.read(request)
    try:
        again = "again" in asked.fields
        return await follow(request.app, asked, asked.fields.get("call", ""), again=again)
    except InvalidCall:
        return twiml.invalid_call()


async def voice_status(request: web.Request) -> web.Response:
    """`/v1/voice/status`: Twilio tells how the call goes; 204. Raises BusError."""
    asked = await twilio_request.read(request)
    try:
        call_id = asked.call_id
    except InvalidCall:
        return twiml.invalid_call()
    if call_id is None:
        return twiml.invalid_call()
    try:
        await _check(request.app[BUS], asked, call_id, "")
    except Refused as e:
        if e.code == "bad_signature":
            return twiml.forbidden()
        if e.code != "call_not_found":
            raise
        # Twilio's own, of a call that no bot took.
        return web.Response(status=204)
    if asked.fields.get("CallStatus") in OVER:
        await _close(request.app[CALLS].platform, await _journal(request.app, call_id))
    return web.Response(status=204)


async def follow(app: web.Application, asked: VoiceRequest, signed_call: str, *, again: bool) -> web.Response:
    """`again`: as in what_next. Raises InvalidCall."""
    if not signed_call:
        raise InvalidCall
    try:
        checked = await _check(app[BUS], asked, asked.call_id, signed_call)
        found = await app[CALLS].platform.journals.read(checked.call_id)
    except (BusError, NatsError, TimeoutError, ValidationError) as e:
        if isinstance(e, Refused) and e.code == "bad_signature":
            return twiml.forbidden()
        about = {"call_id": asked.call_id or "", "reason": str(e) or type(e).__name__}
        log.error("the state is out of reach", extra=about)
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    journal = found[0] if found else None
    dialed = asked.fields.get("DialCallStatus")
    following = what_next(journal, dialed, datetime.now(UTC), again=again)
    if journal is not None and dialed is not None and following is Next.TAKE_BACK:
        _tell_result(app[CALLS].platform, journal, dialed)
    if asked.fields.get("CallStatus", "in-progress") != "in-progress":
        await _close(app[CALLS].platform, journal)
        return twiml.answer(twiml.hang_up())
    if following is Next.GIVE_UP:
        await _close(app[CALLS].platform, journal)
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    if found is None:
        return await _reenter(app, ReenterCall(call_id=checked.call_id, bot_id=checked.bot_id), again=True)
    return await _go_on(app, *found, following, dialed or "", signed_call)


async def _go_on(
    app: web.Application, journal: CallJournal, revision: int, following: Next, dialed: str, signed_call: str
) -> web.Response:
    """The caller is still there."""
    journals = app[CALLS].platform.journals
    match following:
        case Next.DIAL:
            url, shown = app[SETTINGS].public_url, caller_id(journal.brief)
            number = journal.transfer_to or ""
            return twiml.answer(twiml.dial(number, public_url=url, signed_call=signed_call, caller_id=shown))
        case Next.TAKE_BACK:
            await _note(journals, journal.model_copy(update={"transfer_result": result_of(dialed)}), revision)
            return await _reenter(app, _reentry(journal, after_transfer=True))
        case Next.REENTER:
            # Counted here and not when the stream begins: a stream that never begins must count too.
            at = [*journal.reentries_at, datetime.now(UTC)][-REENTRIES_IN_A_MINUTE:]
            await _note(journals, journal.model_copy(update={"reentries_at": at}), revision)
            return await _reenter(app, _reentry(journal, after_transfer=bool(journal.transfer_result)))
        case _:
            return twiml.answer(twiml.hang_up())


def connected(app: web.Application, route: CallRoute, *, again: bool = False) -> web.Response:
    """The stream; meanwhile the bot's sentences come into memory, so that its greeting is there at once."""
    if route.phrases is not None:
        app[CALLS].platform.phrases.prefetch_soon(route.phrases)
    settings = app[SETTINGS]
    return twiml.answer(
        twiml.connect(
            stream_base=settings.stream_base,
            public_url=settings.public_url,
            bot_id=route.bot_id,
            signed_call=route.signed_call,
            token=route.token,
            again=again,
        )
    )


async def _check(bus: Bus, asked: VoiceRequest, call_id: str | None, signed_call: str) -> CallChecked:
    """The call, if this is Twilio's request about it. Raises BusError."""
    question = CheckCall(request=asked.signed, signed_call=signed_call[:LONGEST_SIGNED_CALL], call_id=call_id)
    try:
        return await bus.ask(CALL_CHECK, question, timeout_s=ROUTE_WITHIN_S)
    except Refused as e:
        if e.code == "bad_signature":
            log.warning("a request about a call is not Twilio's", extra={"call_id": call_id or ""})
        raise


async def _journal(app: web.Application, call_id: str) -> CallJournal | None:
    """None also when it is out of reach: then the call's own gateway has the only word."""
    try:
        found = await app[CALLS].platform.journals.read(call_id)
    except (BusError, NatsError, TimeoutError, ValidationError) as e:
        log.error("the state is out of reach", extra={"call_id": call_id, "reason": type(e).__name__})
        return None
    return found[0] if found else None


def _reentry(journal: CallJournal, *, after_transfer: bool) -> ReenterCall:
    brief = journal.brief
    transferred_in = brief.generation if after_transfer else None
    return ReenterCall(call_id=brief.call_id, bot_id=brief.bot_id, transferred_in=transferred_in)


async def _reenter(app: web.Application, question: ReenterCall, *, again: bool = False) -> web.Response:
    try:
        route = await app[BUS].ask(CALL_REENTER, question, timeout_s=ROUTE_WITHIN_S)
    except BusError as e:
        log.error("a call cannot go on", extra={"call_id": question.call_id, "reason": str(e)})
        busy = isinstance(e, Refused) and e.code == "busy"
        return twiml.answer(twiml.say(BUSY if busy else BROKEN), twiml.hang_up())
    return connected(app, route, again=again)


def _tell_result(platform: Platform, journal: CallJournal, dialed: str) -> None:
    told = StageFallback(stage="call", reason=f"transfer: {result_of(dialed)}")
    platform.events.add(journal.brief, RESULT_OF_TRANSFER, told)


async def _close(platform: Platform, journal: CallJournal | None) -> None:
    """The call is over, and no stream was there to say so: its record is closed, its seats are free."""
    if journal is None or (journal.state is CallState.ENDED and not journal.transfer_result):
        return
    duration = datetime.now(UTC) - journal.began_at
    ended = CallEnded(reason="line_lost", duration_ms=round(duration.total_seconds() * 1000))
    later = asyncio.get_running_loop().call_later
    later(OWN_WORD_WITHIN_S, platform.events.add, journal.brief, AFTER_ALL_EVENTS, ended)
    over = CallOver(call_id=journal.brief.call_id, generation=MAX_GENERATION)
    try:
        await platform.bus.tell(CALL_OVER, over, call_id=journal.brief.call_id)
    except BusError as e:
        log.warning("the seats were not told", extra={"call_id": over.call_id, "reason": str(e)})


async def _note(journals: Journals, journal: CallJournal, revision: int) -> None:
    try:
        await journals.write(journal, revision)
    except (BusError, NatsError, TimeoutError) as e:
        log.warning("not noted", extra={"call_id": journal.brief.call_id, "reason": str(e)})
