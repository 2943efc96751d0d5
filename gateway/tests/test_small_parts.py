"""Keypad, watchdog, TwiML, settings: tables."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from callbot.gateway import twiml
from callbot.gateway.keypad import Keypad
from callbot.gateway.settings import Settings
from callbot.gateway.watchdog import Verdict, Watch, judge


def test_keys_end_with_a_hash_or_a_pause() -> None:
    keypad = Keypad()
    assert [keypad.press(d, 0) for d in "12#"] == ["", "", "12"]
    assert keypad.press("7", 1000) == ""
    assert keypad.pause(2900) == ""
    assert keypad.pause(3000) == "7"
    assert keypad.pause(9000) == ""


def test_a_flood_of_keys_is_ten_keys_and_one_input_a_second() -> None:
    keypad = Keypad()
    taken = []
    for at_ms in range(0, 10_000, 5):
        taken += [keypad.press("1#"[at_ms // 5 % 2], at_ms), keypad.pause(at_ms)]
    inputs = [t for t in taken if t]
    assert 9 <= len(inputs) <= 11
    assert sum(map(len, inputs)) <= 60


def test_other_keys_are_nothing_and_the_input_is_bounded() -> None:
    keypad = Keypad()
    assert keypad.press("x", 0) == "" and keypad.press("", 0) == "" and keypad.press("#", 0) == ""
    typed = [keypad.press("1", at_ms * 150) for at_ms in range(64)]
    assert typed[-1] == "1" * 64


FINE = Watch(
    thinking_since_ms=None,
    speaking_since_ms=None,
    ears_gone_since_ms=None,
    last_media_at_ms=100_000,
    call_ms=100_000,
    max_call_ms=3_600_000,
)


@pytest.mark.parametrize(
    ("watch", "verdict"),
    [
        (FINE, "fine"),
        (replace(FINE, thinking_since_ms=95_000), "fine"),
        (replace(FINE, thinking_since_ms=93_900), "no_answer"),
        (replace(FINE, speaking_since_ms=97_600), "fine"),
        (replace(FINE, speaking_since_ms=97_400), "no_audio"),
        (replace(FINE, ears_gone_since_ms=95_000), "fine"),
        (replace(FINE, ears_gone_since_ms=89_000), "no_ears"),
        (replace(FINE, last_media_at_ms=89_000), "no_media"),
        (replace(FINE, max_call_ms=99_000), "too_long"),
    ],
)
def test_watchdog(watch: Watch, verdict: Verdict) -> None:
    assert judge(watch, 100_000) == verdict


def test_connect_is_wellformed_and_complete() -> None:
    verb = twiml.connect(
        stream_base="wss://x.example",
        public_url="https://x.example",
        bot_id="bot_1",
        signed_call="CA1.key.mac",
        token='a"b<c',
    )
    connect = ElementTree.fromstring(f"<Response>{verb}</Response>")[0]
    assert connect.attrib == {"action": "https://x.example/v1/voice/next?call=CA1.key.mac"}
    assert connect[0].attrib == {"url": "wss://x.example/voice/stream/bot_1"}
    assert connect[0][0].attrib == {"name": "token", "value": 'a"b<c'}


def test_spoken_text_is_escaped() -> None:
    assert twiml.say("a <b> & c") == "<Say>a &lt;b&gt; &amp; c</Say>"


@pytest.mark.parametrize("url", ["http://callbot.example.com", "ftp://x", "nonsense", ""])
def test_a_public_url_must_be_one_that_twilio_can_use(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(public_url=url)


def test_streams_are_wss_except_on_loopback() -> None:
    assert Settings(public_url="https://x.example/").stream_base == "wss://x.example"
    assert Settings(public_url="http://127.0.0.1:9").stream_base == "ws://127.0.0.1:9"
