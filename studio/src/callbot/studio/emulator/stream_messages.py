"""The messages of a Twilio media stream as JSON text.

From Twilio every number is a string, except inside `mediaFormat`. To Twilio a message has exactly the fields
that https://www.twilio.com/docs/voice/media-streams/websocket-messages names; anything else is a 31951.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from callbot.schemas.audio import SAMPLE_RATE_HZ
from callbot.studio.emulator.complaints import Code, Rejected

CONNECTED = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})


@dataclass(frozen=True, slots=True)
class StreamIds:
    """Whose stream it is."""

    account_sid: str
    call_sid: str
    stream_sid: str


@dataclass(frozen=True, slots=True)
class Media:
    audio: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    pass


class TwilioVoice:
    """Twilio's half: numbers the messages of one stream."""

    def __init__(self, ids: StreamIds) -> None:
        self._ids = ids
        self._sequence_number = 0
        self._chunk = 0

    def start(self, parameters: Mapping[str, str]) -> str:
        return self._message(
            "start",
            {
                "accountSid": self._ids.account_sid,
                "streamSid": self._ids.stream_sid,
                "callSid": self._ids.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": SAMPLE_RATE_HZ, "channels": 1},
                "customParameters": dict(parameters),
            },
        )

    def media(self, audio: bytes, timestamp_ms: int) -> str:
        # Written by hand: there are fifty of them a second in every call.
        self._sequence_number += 1
        self._chunk += 1
        payload = base64.b64encode(audio).decode()
        return (
            f'{{"event":"media","sequenceNumber":"{self._sequence_number}","media":{{"track":"inbound",'
            f'"chunk":"{self._chunk}","timestamp":"{timestamp_ms}","payload":"{payload}"}},'
            f'"streamSid":"{self._ids.stream_sid}"}}'
        )

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        return self._message("stop", {"accountSid": self._ids.account_sid, "callSid": self._ids.call_sid})

    def _message(self, event: str, body: Mapping[str, object]) -> str:
        self._sequence_number += 1
        return json.dumps(
            {
                "event": event,
                "sequenceNumber": str(self._sequence_number),
                event: body,
                "streamSid": self._ids.stream_sid,
            }
        )


def parse(text: str, stream_sid: str) -> Media | Mark | Clear:
    """One message of ours to Twilio. Raises Rejected (31951) for whatever Twilio would not accept."""
    try:
        message = json.loads(text)
    except ValueError:
        raise Rejected(Code.STREAM_MESSAGE, "invalid JSON") from None
    if not isinstance(message, dict):
        raise Rejected(Code.STREAM_MESSAGE, "not a JSON object")
    event = message.get("event")
    if event not in ("media", "mark", "clear"):
        raise Rejected(Code.STREAM_MESSAGE, f"unknown event {event!r:.40}")
    _expect_fields(message, {"event", "streamSid"} | ({event} - {"clear"}), event)
    if message["streamSid"] != stream_sid:
        raise Rejected(
            Code.STREAM_MESSAGE, f"{event}: streamSid {message['streamSid']!r:.50} is not this stream"
        )
    if event == "clear":
        return Clear()
    if event == "mark":
        return Mark(_text_field(message, "mark", "name"))
    try:
        return Media(base64.b64decode(_text_field(message, "media", "payload"), validate=True))
    except (binascii.Error, ValueError):
        raise Rejected(Code.STREAM_MESSAGE, "media.payload: bad base64") from None


def _text_field(message: Mapping[str, object], event: str, name: str) -> str:
    body = message[event]
    if not isinstance(body, dict):
        raise Rejected(Code.STREAM_MESSAGE, f"{event}: not an object")
    _expect_fields(body, {name}, event)
    value = body[name]
    if not isinstance(value, str):
        raise Rejected(Code.STREAM_MESSAGE, f"{event}.{name}: not a string")
    return value


def _expect_fields(body: Mapping[str, object], fields: set[str], where: str) -> None:
    if missing := fields - body.keys():
        raise Rejected(Code.STREAM_MESSAGE, f"{where}: missing field {', '.join(sorted(missing))}")
    if extra := body.keys() - fields:
        raise Rejected(Code.STREAM_MESSAGE, f"{where}: extra field {', '.join(sorted(extra)):.80}")
