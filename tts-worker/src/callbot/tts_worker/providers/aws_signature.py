"""AWS Signature Version 4 in headers, for services other than S3.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

ALGORITHM: Final = "AWS4-HMAC-SHA256"
_NEVER_QUOTED: Final = "-_.~"
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    """Of temporary credentials; empty: they are not temporary."""


@dataclass(frozen=True, slots=True)
class Scope:
    region: str
    service: str


def signed(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    scope: Scope,
    at: datetime,
) -> dict[str, str]:
    """`headers` and those that prove who sends them: to be sent with just this `url` and `body`.

    The URL is as it goes over the wire, percent-encoded. `at` has a time zone; AWS takes it for five minutes.
    """
    stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "Host": _host(url), "X-Amz-Date": stamp}
    if credentials.session_token:
        sent["X-Amz-Security-Token"] = credentials.session_token
    by_name = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    names = ";".join(sorted(by_name))
    within = f"{stamp[:8]}/{scope.region}/{scope.service}/aws4_request"
    to_sign = "\n".join(
        [ALGORITHM, stamp, within, _sha256(_canonical(method, url, by_name, names, body).encode())]
    )
    signature = hmac.new(
        _key(credentials.secret_access_key, stamp[:8], scope), to_sign.encode(), hashlib.sha256
    ).hexdigest()
    sent["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{within}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return sent


def _canonical(method: str, url: str, by_name: Mapping[str, str], names: str, body: bytes) -> str:
    parts = urlsplit(url)
    headers = "".join(f"{name}:{by_name[name]}\n" for name in names.split(";"))
    return "\n".join([method, _path(parts.path), _query(parts.query), headers, names, _sha256(body)])


def _path(path: str) -> str:
    """Without dots and doubled slashes, and encoded once more than on the wire."""
    plain = posixpath.normpath("/" + path.lstrip("/"))
    if path.endswith("/") and plain != "/":
        plain += "/"
    return quote(plain, safe="/" + _NEVER_QUOTED)


def _query(query: str) -> str:
    """Sorted as encoded, name by name and then value by value."""
    pairs = sorted(
        (quote(name, safe=_NEVER_QUOTED), quote(value, safe=_NEVER_QUOTED))
        # A plus is a plus here, and no space.
        for name, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    )
    return "&".join(f"{name}={value}" for name, value in pairs)


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def _key(secret: str, day: str, scope: Scope) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
