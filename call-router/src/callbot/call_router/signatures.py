"""Is a request Twilio's? `X-Twilio-Signature` of a voice request, checked against the configured public URL.

https://www.twilio.com/docs/usage/security#validating-requests
"""

import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from multidict import MultiDict
from twilio.request_validator import RequestValidator

from callbot.runtime.errors import Refused
from callbot.runtime.settings import is_loopback
from callbot.schemas.calls import TwilioRequest

DEFAULT_PORT = {"https": 443, "http": 80}


def bad_signature() -> Refused:
    return Refused("bad_signature", "This request is not from the account that the call belongs to")


@dataclass(frozen=True)
class Signatures:
    public_url: str
    unsigned_allowed: bool = False
    """In open mode on loopback: the documents' bare curl, and an emulator whose account nobody knows."""

    @classmethod
    def of(cls, auth: str, public_url: str) -> "Signatures":
        return cls(public_url, auth == "open" and is_loopback(urlsplit(public_url).hostname))

    def check(self, request: TwilioRequest, auth_tokens: Sequence[str]) -> None:
        """`auth_tokens` of the accounts that own the bot or number; none: no account is known.

        Raises Refused(`bad_signature`).
        """
        if not auth_tokens or not request.signature:
            genuine = self.unsigned_allowed
        else:
            genuine = any([is_signed(request, token, self.public_url) for token in auth_tokens])
        if not genuine:
            raise bad_signature()


def is_signed(request: TwilioRequest, auth_token: str, public_url: str) -> bool:
    """Did who knows this token send exactly this request to us?

    Twilio signs the URL with or without its port (https voice requests lose it, http ones keep it): both are
    tried, as its own validator does. That validator takes the URL apart to do so and puts another one
    together (an empty query is lost, an IPv6 host too), so that only its arithmetic is used.
    """
    if not request.target.startswith("/"):
        # Else the target could go on where the name of our host ends.
        return False
    validator = RequestValidator(auth_token)
    form = MultiDict(request.form)
    wanted = [validator.compute_signature(base + request.target, form) for base in _bases(public_url)]
    return any([hmac.compare_digest(one.encode(), request.signature.encode()) for one in wanted])


def _bases(public_url: str) -> Iterator[str]:
    """The public URL without a port, and with one; neither has a user."""
    parts = urlsplit(public_url)
    named = parts.netloc.rpartition("@")[2]
    # As it is written, where `hostname` would be in lower case and without the brackets of IPv6.
    host = named.rpartition(":")[0] if re.search(r":[0-9]*$", named) else named
    for port in ("", f":{parts.port or DEFAULT_PORT[parts.scheme]}"):
        yield f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
