"""What Twilio asks of a call that exists: what to do next, and that it is over."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from aiohttp import web
from nats.errors import Error as NatsError
from pydantic import ValidationError

from callbot.gateway import twilio_request, twiml
from callbot.gateway.keys import BUS, CALLS, SETTINGS
from callbot.gateway.live_call import Platform
from callbot.gateway.memory import Journals
from callbot.gateway.phrases import load
from callbot.gateway.settings import Settings
from callbot.gateway.twilio_request import InvalidCall, VoiceRequest
from callbot.runtime.bus import Bus
from callbot.runtime.errors import BusError, Refused
from callbot.schemas.calls import (
    CallEnded,
    CallJournal,
    CallRoute,
    CallState,
    CheckCall,
    ReenterCall,
)
from callbot.schemas.seats import MAX_GENERATION, CallOver
from callbot.schemas.subjects import CALL_CHECK, CALL_OVER, CALL_REENTER
from callbot.schemas.webhook import Action

log = logging.getLogger(__name__)
ROUTE_WITHIN_S = 2.0
REENTRIES_IN_A_MINUTE = 3
"""The third is not granted: an apology and the end."""
OWN_WORD_WITHIN_S = 2.0
"""The call's own gateway may just be hearing of the end too, and knows why."""
AFTER_ALL_EVENTS = 1_000_000
"""The number of an event that the call itself did not write; the same however often Twilio asks."""
LONGEST_SIGNED_CALL = 200
OVER = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""https://www.twilio.com/docs/voice/twiml#callstatus-values"""
BROKEN = load()["goodbye"].text


async def voice_next(request: web.Request) -> web.Response:
    """`/v1/voice/next`: the stream has ended; the state of the call says what follows."""
    asked = await twilio_request.read(request)
    try:
        return await follow(request.app, asked, asked.fields.get("call", ""))
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


async def follow(app: web.Application, asked: VoiceRequest, signed_call: str) -> web.Response:
    """Raises InvalidCall."""
    if not signed_call:
        raise InvalidCall
    try:
        call_id = await _check(app[BUS], asked, asked.call_id, signed_call)
        found = await app[CALLS].platform.journals.read(call_id)
    except (BusError, NatsError, TimeoutError, ValidationError) as e:
        if isinstance(e, Refused) and e.code == "bad_signature":
            return twiml.forbidden()
        about = {"call_id": asked.call_id or "", "reason": str(e) or type(e).__name__}
        log.error("the state is out of reach", extra=about)
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    journal = found[0] if found else None
    if asked.fields.get("CallStatus", "in-progress") != "in-progress":
        await _close(app[CALLS].platform, journal)
        return twiml.answer(twiml.hang_up())
    if journal is None or found is None:
        # The stream never became a call: its bot was deleted meanwhile, or its token was refused.
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    if journal.state is CallState.ENDED:
        heard_transfer = journal.pending_action is Action.TRANSFER and journal.transfer_to
        verb = twiml.dial(journal.transfer_to or "") if heard_transfer else ""
        return twiml.answer(verb, twiml.hang_up())
    if _too_many_reentries(journal, datetime.now(UTC)):
        await _close(app[CALLS].platform, journal)
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    await _count_reentry(app[CALLS].platform.journals, *found)
    return await _reenter(app, journal)


async def _check(bus: Bus, asked: VoiceRequest, call_id: str | None, signed_call: str) -> str:
    """The call's id, if this is Twilio's request about it. Raises BusError."""
    question = CheckCall(request=asked.signed, signed_call=signed_call[:LONGEST_SIGNED_CALL], call_id=call_id)
    try:
        return (await bus.ask(CALL_CHECK, question, timeout_s=ROUTE_WITHIN_S)).call_id
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


async def _reenter(app: web.Application, journal: CallJournal) -> web.Response:
    question = ReenterCall(call_id=journal.brief.call_id, bot_id=journal.brief.bot_id)
    try:
        route = await app[BUS].ask(CALL_REENTER, question, timeout_s=ROUTE_WITHIN_S)
    except BusError as e:
        log.error("a call cannot go on", extra={"call_id": question.call_id, "reason": str(e)})
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    return twiml.answer(connect(app[SETTINGS], route))


async def _close(platform: Platform, journal: CallJournal | None) -> None:
    """The call is over, and no stream was there to say so: its record is closed, its seats are free."""
    if journal is None or journal.state is CallState.ENDED:
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


def _too_many_reentries(journal: CallJournal, now: datetime) -> bool:
    recent = [at for at in journal.reentries_at if now - at < timedelta(seconds=60)]
    return len(recent) >= REENTRIES_IN_A_MINUTE - 1


async def _count_reentry(journals: Journals, journal: CallJournal, revision: int) -> None:
    """Here and not when the stream begins: a stream that never begins must count too."""
    reentries_at = [*journal.reentries_at, datetime.now(UTC)][-REENTRIES_IN_A_MINUTE:]
    try:
        await journals.write(journal.model_copy(update={"reentries_at": reentries_at}), revision)
    except (BusError, NatsError, TimeoutError) as e:
        log.warning("re-entry not counted", extra={"call_id": journal.brief.call_id, "reason": str(e)})


def connect(settings: Settings, route: CallRoute) -> str:
    return twiml.connect(
        stream_base=settings.stream_base,
        public_url=settings.public_url,
        bot_id=route.bot_id,
        signed_call=route.signed_call,
        token=route.token,
    )
