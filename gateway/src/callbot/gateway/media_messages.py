"""Twilio's media stream messages, both ways.

Shapes: https://www.twilio.com/docs/voice/media-streams/websocket-messages. Numbers arrive as strings; unknown
fields are ignored; anything that is not such a message raises MalformedMedia.
"""

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

_SID = re.compile(r"[A-Za-z0-9]{1,64}")


class MalformedMedia(ValueError):
    """Not a message of a media stream."""


@dataclass(frozen=True)
class Connected:
    pass


@dataclass(frozen=True)
class Start:
    stream_sid: str
    call_id: str
    account_sid: str
    encoding: str
    sample_rate_hz: int
    parameters: dict[str, str] = field(default_factory=dict)


class Media(NamedTuple):
    """Fifty a second in each call: a frozen dataclass would take twice the time to make."""

    payload: bytes


@dataclass(frozen=True)
class Dtmf:
    digit: str


@dataclass(frozen=True)
class MarkEchoed:
    name: str


@dataclass(frozen=True)
class Stop:
    pass


@dataclass(frozen=True)
class Unknown:
    event: str


Incoming = Connected | Start | Media | Dtmf | MarkEchoed | Stop | Unknown


def parse(text: str | bytes) -> Incoming:
    """Of UTF-8. Raises MalformedMedia."""
    try:
        message = orjson.loads(text)
        event = message["event"]
        if event == "media":
            return Media(b64decode(message["media"]["payload"], validate=True))
        return _parse_rare(event, message)
    except (
        RecursionError,
        orjson.JSONDecodeError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        binascii.Error,
    ) as e:
        raise MalformedMedia(f"{type(e).__name__}: not a media stream message") from e


def _parse_rare(event: str, message: dict[str, Any]) -> Incoming:
    match event:
        case "connected":
            return Connected()
        case "start":
            start = message["start"]
            if not _SID.fullmatch(message["streamSid"]):
                raise ValueError("streamSid")
            media_format = start.get("mediaFormat") or {}
            return Start(
                stream_sid=message["streamSid"],
                call_id=str(start["callSid"]),
                account_sid=str(start.get("accountSid", "")),
                encoding=str(media_format.get("encoding", "audio/x-mulaw")),
                sample_rate_hz=int(media_format.get("sampleRate", 8000)),
                parameters={str(k): str(v) for k, v in (start.get("customParameters") or {}).items()},
            )
        case "dtmf":
            return Dtmf(str(message["dtmf"]["digit"])[:1])
        case "mark":
            return MarkEchoed(str(message["mark"]["name"]))
        case "stop":
            return Stop()
        case str():
            return Unknown(event)
        case _:
            raise TypeError("event is not a string")


def media(stream_sid: str, payload: bytes) -> str:
    """The hot one: built by hand, since both parts are plain ASCII."""
    encoded = b64encode(payload).decode()
    return f'{{"event":"media","streamSid":"{stream_sid}","media":{{"payload":"{encoded}"}}}}'


def mark(stream_sid: str, name: str) -> str:
    return orjson.dumps({"event": "mark", "streamSid": stream_sid, "mark": {"name": name}}).decode()


def clear(stream_sid: str) -> str:
    return orjson.dumps({"event": "clear", "streamSid": stream_sid}).decode()
