"""What Twilio asks by HTTP: what to do with a call, what to do next, what to say when that failed."""

import asyncio
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

from aiohttp import web
from nats.errors import Error as NatsError
from pydantic import ValidationError

from callbot.gateway import twiml
from callbot.gateway.keys import BUS, CALLS, SETTINGS
from callbot.gateway.live_call import Platform
from callbot.gateway.memory import Journals
from callbot.gateway.phrases import load
from callbot.gateway.settings import Settings
from callbot.runtime.errors import BusError, Refused
from callbot.schemas.calls import (
    CallEnded,
    CallJournal,
    CallRoute,
    CallState,
    ReenterCall,
    RouteCall,
    RouteVerdict,
    TwilioRequest,
)
from callbot.schemas.message import CALL_ID_PATTERN, TOKEN_PATTERN
from callbot.schemas.seats import MAX_GENERATION, CallOver
from callbot.schemas.subjects import CALL_OVER, CALL_REENTER, CALL_ROUTE
from callbot.schemas.webhook import Action

log = logging.getLogger(__name__)
ROUTE_WITHIN_S = 2.0
FORM = "application/x-www-form-urlencoded"
REENTRIES_IN_A_MINUTE = 3
"""The third is not granted: an apology and the end."""
OWN_WORD_WITHIN_S = 2.0
"""The call's own gateway may just be hearing of the end too, and knows why."""
AFTER_ALL_EVENTS = 1_000_000
"""The number of an event that the call itself did not write; the same however often Twilio asks."""

INVALID_BOT = "Invalid bot"
BOT_NOT_FOUND = "Bot not found"
PAUSED = "This bot is not taking calls at the moment. Goodbye."
BUSY = "I'm sorry, all lines are busy at the moment. Please call again later. Goodbye."
BROKEN = load()["goodbye"].text


async def voice(request: web.Request) -> web.Response:
    """`/v1/voice`: 200 with TwiML; 400 and 404 with the contract's sentences."""
    fields = await _fields(request)
    bot_id = fields.get("bot_id") or None
    call_id = fields.get("CallSid") or None
    if bot_id is None or not re.fullmatch(TOKEN_PATTERN, bot_id):
        return twiml.answer(twiml.say(INVALID_BOT), status=400)
    if call_id is not None and not re.fullmatch(CALL_ID_PATTERN, call_id):
        return twiml.answer(twiml.say("Invalid call"), status=400)
    if request.app[CALLS].draining or request.app[CALLS].full:
        return twiml.answer(twiml.say(BUSY), twiml.hang_up())
    try:
        question = RouteCall(
            request=TwilioRequest(target=request.raw_path),
            bot_id=bot_id,
            call_id=call_id,
            account_sid=fields.get("AccountSid", ""),
            from_number=fields.get("From", ""),
            to_number=fields.get("To", ""),
        )
    except ValidationError:
        return twiml.answer(twiml.say("Invalid call"), status=400)
    try:
        route = await request.app[BUS].ask(CALL_ROUTE, question, timeout_s=ROUTE_WITHIN_S)
    except Refused as e:
        if e.code == "bot_not_found":
            return twiml.answer(twiml.say(BOT_NOT_FOUND), status=404)
        log.error("a call was refused", extra={"bot_id": bot_id, "reason": str(e)})
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    except BusError as e:
        log.error("a call could not be routed", extra={"bot_id": bot_id, "reason": str(e)})
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    if route.verdict is RouteVerdict.PAUSED:
        return twiml.answer(twiml.say(PAUSED), twiml.hang_up())
    return twiml.answer(_connect(request.app[SETTINGS], route))


async def voice_fallback(request: web.Request) -> web.Response:
    """`/v1/voice/fallback`: Twilio does not play a 4xx answer; it comes here and hears the same sentence."""
    fields = await _fields(request)
    try:
        error_url = urlsplit(fields.get("ErrorUrl", ""))
    except ValueError as e:
        raise web.HTTPBadRequest(reason="ErrorUrl is not a URL.") from e
    failed = parse_qs(error_url.query)
    if error_url.path.endswith("/voice/next"):
        # The gateway that was asked has just died; the call has not.
        return await _next(request, {**fields, "call": (failed.get("call") or [""])[0]})
    bot_id = (failed.get("bot_id") or [fields.get("bot_id", "")])[0]
    sentence = BOT_NOT_FOUND if re.fullmatch(TOKEN_PATTERN, bot_id) else INVALID_BOT
    return twiml.answer(twiml.say(sentence), twiml.hang_up())


async def voice_next(request: web.Request) -> web.Response:
    """`/v1/voice/next`: the stream has ended; the state of the call says what follows."""
    return await _next(request, await _fields(request))


async def _next(request: web.Request, fields: Mapping[str, str]) -> web.Response:
    call_id = fields.get("call", "")
    status = fields.get("CallStatus", "in-progress")
    if not re.fullmatch(CALL_ID_PATTERN, call_id) or fields.get("CallSid", call_id) != call_id:
        return twiml.answer(twiml.say("Invalid call"), status=400)
    try:
        found = await request.app[CALLS].platform.journals.read(call_id)
    except (BusError, NatsError, TimeoutError, ValidationError) as e:
        log.error("the state is out of reach", extra={"call_id": call_id, "reason": type(e).__name__})
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    journal = found[0] if found else None
    if status != "in-progress":
        await _close(request.app[CALLS].platform, journal)
        return twiml.answer(twiml.hang_up())
    if journal is None or found is None:
        # The stream never became a call: its bot was deleted meanwhile, or its token was refused.
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    if journal.state is CallState.ENDED:
        heard_transfer = journal.pending_action is Action.TRANSFER and journal.transfer_to
        verb = twiml.dial(journal.transfer_to or "") if heard_transfer else ""
        return twiml.answer(verb, twiml.hang_up())
    if _too_many_reentries(journal, datetime.now(UTC)):
        await _close(request.app[CALLS].platform, journal)
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    await _count_reentry(request.app[CALLS].platform.journals, *found)
    return await _reenter(request, journal)


async def _reenter(request: web.Request, journal: CallJournal) -> web.Response:
    question = ReenterCall(call_id=journal.brief.call_id, bot_id=journal.brief.bot_id)
    try:
        route = await request.app[BUS].ask(CALL_REENTER, question, timeout_s=ROUTE_WITHIN_S)
    except BusError as e:
        log.error("a call cannot go on", extra={"call_id": question.call_id, "reason": str(e)})
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    return twiml.answer(_connect(request.app[SETTINGS], route))


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


def _connect(settings: Settings, route: CallRoute) -> str:
    return twiml.connect(
        stream_base=settings.stream_base,
        public_url=settings.public_url,
        bot_id=route.bot_id,
        call_id=route.call_id,
        token=route.token,
    )


async def _fields(request: web.Request) -> dict[str, str]:
    """Query and form together; Twilio uses GET where the number is configured so.

    Twilio sends UTF-8, whatever a `charset` says. Raises HTTPBadRequest.
    """
    fields = dict(request.query)
    if request.method == "POST" and request.content_type == FORM:
        try:
            form = parse_qsl((await request.read()).decode(), keep_blank_values=True, max_num_fields=200)
        except ValueError as e:
            raise web.HTTPBadRequest(reason="The form cannot be read.") from e
        fields.update(form)
    return fields
