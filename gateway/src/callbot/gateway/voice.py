"""What Twilio asks when a call comes in: what to do with it, what to say when that failed."""

import logging
import re
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from pydantic import ValidationError

from callbot.gateway import twilio_request, twiml
from callbot.gateway.call_metrics import REFUSED as COUNTED
from callbot.gateway.errors import wrong
from callbot.gateway.keys import BUS, CALLS
from callbot.gateway.twilio_request import InvalidCall, VoiceRequest
from callbot.gateway.voice_next import BROKEN, BUSY, ROUTE_WITHIN_S, connected, follow
from callbot.runtime.errors import BusError, Refused
from callbot.schemas.calls import RouteCall, RouteVerdict
from callbot.schemas.message import TOKEN_PATTERN
from callbot.schemas.subjects import CALL_ROUTE

log = logging.getLogger(__name__)

INVALID_BOT = "Invalid bot"
BOT_NOT_FOUND = "Bot not found"
NOT_CONNECTED = {
    RouteVerdict.PAUSED: "This bot is not taking calls at the moment. Goodbye.",
    RouteVerdict.DAILY_LIMIT: "I'm sorry, no more calls are taken today. Please call tomorrow. Goodbye.",
    RouteVerdict.BUSY: BUSY,
}
REFUSED = {
    "invalid_bot": (400, INVALID_BOT),
    "bot_not_found": (404, BOT_NOT_FOUND),
    "invalid_request": (400, twiml.INVALID_CALL),
}


class Unplaced(Exception):
    """The contract has a status and a sentence for this."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


async def voice(request: web.Request) -> web.Response:
    """`/v1/voice`: 200 with TwiML; 400 and 404 with the contract's sentences, 403 with nothing."""
    asked = await twilio_request.read(request)
    try:
        return await _placed(request.app, asked, asked.fields.get("bot_id", ""))
    except Unplaced as e:
        return twiml.answer(twiml.say(e.sentence), status=e.status)
    except InvalidCall:
        return twiml.invalid_call()


async def voice_fallback(request: web.Request) -> web.Response:
    """`/v1/voice/fallback`: Twilio does not play a 4xx answer; it comes here and hears the same sentence.

    Where what failed was not our answer but its way, the call goes on from here.
    """
    asked = await twilio_request.read(request)
    try:
        error_url = urlsplit(asked.fields.get("ErrorUrl", ""))
    except ValueError as e:
        raise wrong("ErrorUrl", "is not a URL") from e
    failed = parse_qs(error_url.query)
    try:
        if error_url.path.endswith("/voice/next"):
            # The gateway that was asked has just died; the call has not.
            return await follow(request.app, asked, failed.get("call", [""])[0], again="again" in failed)
        return await _placed(request.app, asked, failed.get("bot_id", [asked.fields.get("bot_id", "")])[0])
    except Unplaced as e:
        return twiml.answer(twiml.say(e.sentence), twiml.hang_up())
    except InvalidCall:
        return twiml.invalid_call()


async def _placed(app: web.Application, asked: VoiceRequest, bot_id: str) -> web.Response:
    """Raises Unplaced, InvalidCall."""
    if bot_id and not re.fullmatch(TOKEN_PATTERN, bot_id):
        raise Unplaced(400, INVALID_BOT)
    try:
        question = RouteCall(
            request=asked.signed,
            bot_id=bot_id or None,
            call_id=asked.call_id,
            account_sid=asked.fields.get("AccountSid", ""),
            from_number=asked.fields.get("From", ""),
            to_number=asked.fields.get("To", ""),
        )
    except ValidationError as e:
        raise Unplaced(400, twiml.INVALID_CALL) from e
    # One that drains answers like any other: the stream is opened at a gateway whose door is open.
    if app[CALLS].full:
        COUNTED.of("full").inc()
        return twiml.answer(twiml.say(BUSY), twiml.hang_up())
    try:
        route = await app[BUS].ask(CALL_ROUTE, question, timeout_s=ROUTE_WITHIN_S)
    except BusError as e:
        COUNTED.of(_counted_as(e)).inc()
        if isinstance(e, Refused) and e.code == "bad_signature":
            log.warning("a voice request is not Twilio's", extra=_facts(question))
            return twiml.forbidden()
        if isinstance(e, Refused) and e.code in REFUSED:
            raise Unplaced(*REFUSED[e.code]) from e
        log.error("a call could not be routed", extra={**_facts(question), "reason": str(e)})
        return twiml.answer(twiml.say(BROKEN), twiml.hang_up())
    if sentence := NOT_CONNECTED.get(route.verdict):
        COUNTED.of(route.verdict.value).inc()
        return twiml.answer(twiml.say(sentence), twiml.hang_up())
    return connected(app, route)


def _counted_as(error: BusError) -> str:
    if isinstance(error, Refused) and (error.code == "bad_signature" or error.code in REFUSED):
        return error.code
    return "not_routed"


def _facts(question: RouteCall) -> dict[str, str]:
    return {"call_id": question.call_id or "", "bot_id": question.bot_id or ""}
