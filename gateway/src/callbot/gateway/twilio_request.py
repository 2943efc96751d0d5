"""A voice request of Twilio's as it arrives: its parameters, and what its signature covers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import ValidationError

from callbot.gateway.api.bodies import read_body
from callbot.gateway.errors import wrong
from callbot.schemas.calls import TwilioRequest
from callbot.schemas.message import CALL_ID_PATTERN

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 200
LONGEST_SIGNATURE = 200
OURS = ("bot_id", "call", "again")
"""What we write into the URLs that we give; a form cannot say otherwise."""


class InvalidCall(Exception):
    """The CallSid is none."""


@dataclass(frozen=True)
class VoiceRequest:
    fields: Mapping[str, str]
    """Query and form together; Twilio uses GET where the number is configured so."""
    signed: TwilioRequest

    @property
    def call_id(self) -> str | None:
        """None where there is no CallSid. Raises InvalidCall."""
        call_id = self.fields.get("CallSid") or None
        if call_id is not None and not re.fullmatch(CALL_ID_PATTERN, call_id):
            raise InvalidCall
        return call_id


async def read(request: web.Request) -> VoiceRequest:
    """Raises ApiError 400, 408 and 413.

    Twilio sends UTF-8, whatever a `charset` says, and signs empty values too.
    """
    form: list[tuple[str, str]] = []
    try:
        if request.method == "POST" and request.content_type == FORM:
            body = (await read_body(request)).decode()
            form = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
        signed = TwilioRequest(
            target=request.raw_path,
            form=form,
            signature=request.headers.get("X-Twilio-Signature", "")[:LONGEST_SIGNATURE],
        )
    except ValidationError as e:
        raise wrong("URL", "cannot be read") from e
    except ValueError as e:
        raise wrong("body", "cannot be read as a form") from e
    in_url = {name: request.query[name] for name in OURS if name in request.query}
    # Of a name that stands twice the first one counts, here and for call-router.
    in_form = dict(reversed(form))
    return VoiceRequest({**request.query, **in_form, **in_url}, signed)
