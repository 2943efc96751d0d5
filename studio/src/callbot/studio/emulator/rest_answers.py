"""How Twilio's REST API answers: error bodies, pages, dates (https://www.twilio.com/docs/usage/twilios-response)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

API_VERSION = "2010-04-01"
PAGE_SIZE, LONGEST_PAGE = 50, 1000

AUTHENTICATE = 20003
METHOD_NOT_ALLOWED = 20004
NOT_FOUND = 20404
TOO_MANY_REQUESTS = 20429


class TwilioError(Exception):
    """An answer of 4xx: HTTP status, Twilio's own code, a sentence."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def response(self) -> web.Response:
        body = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if self.status == 401 else None
        return web.json_response(body, status=self.status, headers=headers)


def not_found(path: str) -> TwilioError:
    return TwilioError(404, NOT_FOUND, f"The requested resource {path} was not found")


def now() -> str:
    """RFC 2822, as Twilio writes its dates."""
    return format_datetime(datetime.now(UTC))


def path_of(account_sid: str, *rest: str) -> str:
    return "/".join((f"/{API_VERSION}/Accounts/{account_sid}", *rest)) + ".json"


def page(path: str, query: Mapping[str, str], name: str, found: Sequence[Mapping[str, Any]]) -> web.Response:
    """One page of a list. Raises TwilioError for a page number or size that is none."""
    filters = {k: v for k, v in query.items() if k not in ("Page", "PageSize", "PageToken")}
    size = _number(query, "PageSize", PAGE_SIZE, 1, LONGEST_PAGE)
    at = _number(query, "Page", 0, 0, 1_000_000)

    def uri(number: int) -> str:
        return f"{path}?{urlencode({**filters, 'PageSize': size, 'Page': number})}"

    shown = found[at * size : (at + 1) * size]
    body = {
        name: shown,
        "page": at,
        "page_size": size,
        "start": at * size,
        "end": at * size + max(0, len(shown) - 1),
        "uri": uri(at),
        "first_page_uri": uri(0),
        "next_page_uri": uri(at + 1) if len(found) > (at + 1) * size else None,
        "previous_page_uri": uri(at - 1) if at else None,
    }
    return web.json_response(body)


def _number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Twilio takes too large a page size as its largest."""
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise TwilioError(400, 20001, f"{name} must be a number of at least {least}")
    return min(int(text), most)
