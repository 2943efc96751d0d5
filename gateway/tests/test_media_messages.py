"""Twilio's messages as they are, and everything that is not one."""

import json

import pytest

from callbot.gateway import media_messages as m

START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ0123456789abcdef",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ0123456789abcdef",
        "callSid": "CA" + "0" * 32,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "abc"},
    },
}


def test_start() -> None:
    start = m.parse(json.dumps(START))
    assert isinstance(start, m.Start)
    assert start.call_id == "CA" + "0" * 32
    assert start.parameters == {"token": "abc"}
    assert start.sample_rate_hz == 8000


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ('{"event":"connected","protocol":"Call","version":"1.0.0"}', m.Connected()),
        ('{"event":"media","media":{"track":"inbound","payload":"/38="}}', m.Media(b"\xff\x7f")),
        ('{"event":"dtmf","dtmf":{"track":"inbound_track","digit":"5"}}', m.Dtmf("5")),
        ('{"event":"mark","mark":{"name":"1:0:0"}}', m.MarkEchoed("1:0:0")),
        ('{"event":"stop","stop":{}}', m.Stop()),
        ('{"event":"something-new"}', m.Unknown("something-new")),
    ],
)
def test_events(text: str, parsed: m.Incoming) -> None:
    assert m.parse(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "[]",
        "null",
        "5",
        '"media"',
        "{}",
        '{"event":5}',
        '{"event":null}',
        '{"event":"media"}',
        '{"event":"media","media":{"payload":"not base64!"}}',
        '{"event":"media","media":{"payload":5}}',
        '{"event":"media","media":[]}',
        '{"event":"start","streamSid":"MZ1","start":{}}',
        '{"event":"start","start":{"callSid":"CA1"}}',
        '{"event":"start","streamSid":"MZ\\"},","start":{"callSid":"CA1"}}',
        '{"event":"mark","mark":{}}',
        "[" * 5000,
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(m.MalformedMedia):
        m.parse(text)


def test_outgoing_messages_have_exactly_twilios_fields() -> None:
    assert json.loads(m.media("MZ1", b"\xff")) == {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"payload": "/w=="},
    }
    assert json.loads(m.mark("MZ1", 'a"b')) == {"event": "mark", "streamSid": "MZ1", "mark": {"name": 'a"b'}}
    assert json.loads(m.clear("MZ1")) == {"event": "clear", "streamSid": "MZ1"}
