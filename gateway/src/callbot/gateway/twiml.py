"""TwiML answers. Text is escaped; a document never ends in silence (no verb after it: the call ends)."""

from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from aiohttp import web

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
INVALID_CALL = "Invalid call"


def answer(*verbs: str, status: int = 200) -> web.Response:
    body = f"{HEAD}<Response>{''.join(verbs)}</Response>"
    return web.Response(text=body, status=status, content_type="application/xml", charset="utf-8")


def invalid_call() -> web.Response:
    return answer(say(INVALID_CALL), status=400)


def forbidden() -> web.Response:
    """Whoever is not Twilio hears nothing."""
    return web.Response(status=403)


def say(text: str) -> str:
    return f"<Say>{escape(text)}</Say>"


def hang_up() -> str:
    return "<Hangup/>"


def dial(number: str, *, public_url: str, signed_call: str, caller_id: str | None) -> str:
    """`action` is where Twilio comes when it has dialed, with what became of it."""
    shown = "" if caller_id is None else f" callerId={quoteattr(caller_id)}"
    return f"<Dial action={quoteattr(_next(public_url, signed_call))}{shown}>{escape(number)}</Dial>"


def connect(
    *, stream_base: str, public_url: str, bot_id: str, signed_call: str, token: str, again: bool = False
) -> str:
    """`action` is where Twilio comes when the stream has ended, for whatever reason.

    `again`: an earlier stream of this call never began.
    """
    action = _next(public_url, signed_call) + ("&again=1" if again else "")
    stream = f"{stream_base}/voice/stream/{quote(bot_id)}"
    return (
        f"<Connect action={quoteattr(action)}><Stream url={quoteattr(stream)}>"
        f'<Parameter name="token" value={quoteattr(token)}/></Stream></Connect>'
    )


def _next(public_url: str, signed_call: str) -> str:
    return f"{public_url}/v1/voice/next?call={quote(signed_call)}"
