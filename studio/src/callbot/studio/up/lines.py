"""What the parts say, as lines that a person can read."""

import json
import re
from typing import Any, TextIO

from callbot.runtime.telemetry import printable

_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)
_LEVEL_COLOURS = {"debug": 90, "warning": 33, "error": 31, "critical": 31}
_WIDTH = 15
_NATS_LINE = re.compile(r"\[\d+\] (?P<at>\S+ \S+) \[(?P<level>[A-Z]{3})\] *(?P<message>.*)")
_NATS_LEVELS = {"WRN": "warning", "ERR": "error", "FTL": "error"}
_LAST_LINE_CHARACTERS = 300


class Lines:
    """Writes prefixed lines to a stream; a reader who has gone does not stop the platform."""

    def __init__(self, stream: TextIO, *, colours: bool) -> None:
        self._stream = stream
        self._colours = colours
        self._colour_of: dict[str, int] = {}

    def say(self, sentence: str) -> None:
        """The supervisor itself."""
        self._write("callbot", self._painted(sentence, 1))

    def show(self, name: str, raw: str) -> str:
        """One line of a part: JSON log lines become readable, others stay. Returns it without prefix."""
        if nats := _NATS_LINE.match(raw):
            return self._show_nats(name, nats["at"], nats["level"], nats["message"])
        entry = _log_entry(raw)
        if entry is None:
            self._write(name, raw)
            return raw[-_LAST_LINE_CHARACTERS:]
        clock, level, told = _readable(entry)
        first, *rest = told.split("\n")
        mark = "" if level == "info" else self._painted(f"{level} ", _LEVEL_COLOURS.get(level, 0))
        self._write(name, f"{self._painted(clock, 90)} {mark}{first}")
        for line in rest:
            self._write(name, f"    {line}")
        return first[:_LAST_LINE_CHARACTERS]

    def _show_nats(self, name: str, at: str, level: str, message: str) -> str:
        """Only what is wrong: the server says 30 lines at each start."""
        known = "Plaintext passwords detected" in message
        if level in _NATS_LEVELS and not known:
            entry = {"at": at, "level": _NATS_LEVELS[level], "message": message}
            self.show(name, json.dumps(entry))
        return message[:_LAST_LINE_CHARACTERS]

    def _write(self, name: str, text: str) -> None:
        service = name.rstrip("-0123456789")
        colour = self._colour_of.setdefault(service, _COLOURS[len(self._colour_of) % len(_COLOURS)])
        try:
            self._stream.write(f"{self._painted(f'{name:{_WIDTH}} │', colour)} {text}\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            # Nobody reads any more; the calls go on.
            return

    def _painted(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text


def _log_entry(raw: str) -> dict[str, Any] | None:
    if not raw.startswith("{"):
        return None
    try:
        entry = json.loads(raw)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "message" in entry else None


def _readable(entry: dict[str, Any]) -> tuple[str, str, str]:
    """Clock, level and text; every further key becomes `key=value`."""
    clock = str(entry.pop("at", ""))[11:23]
    level = str(entry.pop("level", "info"))
    entry.pop("service", None)
    message, exception = entry.pop("message"), entry.pop("exception", "")
    told = " ".join([str(message), *(f"{k}={printable(v)}" for k, v in entry.items())])
    return clock, level, f"{told}\n{exception}" if exception else told
