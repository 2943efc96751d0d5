"""Log lines: constant text, keyed facts; callers' words only under `pii.` keys, redacted by default."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TextIO

import orjson

from callbot.runtime import tracing

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
REDACTED = "…"
_NOTHING: Mapping[str, str] = MappingProxyType({})
_about: ContextVar[Mapping[str, str]] = ContextVar("callbot_log_about", default=_NOTHING)


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """Every line of the block, and of the tasks and subscriptions that begin in it, has these too."""
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def facts_of(record: logging.LogRecord, *, show_pii: bool) -> dict[str, Any]:
    """The `extra` of a log call."""
    extra = {k: v for k, v in vars(record).items() if k not in _PLAIN}
    return {k: v if show_pii or not k.startswith("pii.") else REDACTED for k, v in extra.items()}


def printable(value: object) -> str:
    """On one line and without terminal commands, whatever somebody has sent us."""
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode()


class JsonLines(logging.Formatter):
    def __init__(self, service: str, *, show_pii: bool) -> None:
        super().__init__()
        self._service = service
        self._show_pii = show_pii

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "service": self._service,
            "message": record.getMessage(),
            **_about.get(),
            **tracing.facts_for_logs(),
            **facts_of(record, show_pii=self._show_pii),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str).decode()
        except orjson.JSONEncodeError:
            # Halves of surrogate pairs, as bytes that are not UTF-8 become, and numbers beyond 64 bits.
            return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    def __init__(self, service: str, *, show_pii: bool) -> None:
        super().__init__()
        self._service = service
        self._show_pii = show_pii

    def format(self, record: logging.LogRecord) -> str:
        facts = facts_of(record, show_pii=self._show_pii)
        told = " ".join(f"{k}={printable(v)}" for k, v in facts.items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {record.levelname.lower():7} {self._service}: {record.getMessage()} {told}".rstrip()
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def set_up_logs(
    service: str, *, as_json: bool, level: str, show_pii: bool, stream: TextIO | None = None
) -> None:
    formatter = (JsonLines if as_json else TextLines)(service, show_pii=show_pii)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    wanted = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger("callbot").setLevel(wanted)
    # HTTP clients of other packages tell every header in their details, and a key may be in it.
    root.setLevel(max(logging.INFO, wanted))
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    for chatty in ("nats", "aiohttp.access", "httpx", "httpx2", "openai", "faster_whisper", "pymongo"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
