"""X-Twilio-Signature, as Twilio makes it (https://www.twilio.com/docs/usage/security#validating-requests)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

HEADER = "X-Twilio-Signature"


def request_signature(auth_token: str, url: str, form: Mapping[str, str]) -> str:
    """Of a webhook: the URL as requested with its query string, then every form field sorted by its name."""
    signed = signed_url(url) + "".join(name + form[name] for name in sorted(form))
    return _hmac_sha1(auth_token, signed)


def upgrade_signature(auth_token: str, url: str) -> str:
    """Of a WebSocket's upgrade: the `wss` URL as written in the TwiML, no parameters."""
    return _hmac_sha1(auth_token, url)


def signed_url(url: str) -> str:
    """The URL as it is signed: no user, no fragment; an https voice request also loses its port."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme == "https" and parts.port is not None:
        host = host.rpartition(":")[0]
    return urlunsplit((parts.scheme, host, parts.path, parts.query, ""))


def _hmac_sha1(auth_token: str, signed: str) -> str:
    return base64.b64encode(hmac.digest(auth_token.encode(), signed.encode(), hashlib.sha1)).decode()
