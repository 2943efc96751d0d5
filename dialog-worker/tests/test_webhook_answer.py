"""What customers answer, well and badly."""

import json
from typing import Any

import pytest

from callbot.dialog_worker.webhook_answer import InvalidAnswer, read_answer
from callbot.schemas.webhook import Action

GOOD: dict[str, tuple[Any, Action, str | None, str]] = {
    "hangup": ({"say": "Bye", "action": "hangup"}, Action.HANGUP, None, ""),
    "null action": (
        {"say": "Yes", "action": None, "transfer_to": None, "more": [1]},
        Action.CONTINUE,
        None,
        "",
    ),
    "transfer": (
        {"say": "One moment", "action": "transfer", "transfer_to": "+14155550123"},
        Action.TRANSFER,
        "+14155550123",
        "",
    ),
    "unknown action": (
        {"say": "Yes", "action": "dance"},
        Action.CONTINUE,
        None,
        "unknown action, taken as continue",
    ),
    "action of another type": (
        {"say": "Yes", "action": {"a": 1}},
        Action.CONTINUE,
        None,
        "unknown action, taken as continue",
    ),
    "bad number": (
        {"say": "Yes", "action": "transfer", "transfer_to": "sip:me@x"},
        Action.TRANSFER,
        None,
        "transfer_to is not an E.164 number",
    ),
}


@pytest.mark.parametrize(("body", "action", "transfer_to", "odd"), GOOD.values(), ids=GOOD.keys())
def test_answers_that_are_spoken(body: Any, action: Action, transfer_to: str | None, odd: str) -> None:
    answer, found_odd = read_answer(json.dumps(body).encode())
    assert (answer.say, answer.action, answer.transfer_to) == (body["say"], action, transfer_to)
    assert found_odd == odd


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"say": "Yes"}', b'\n {"say": "Yes"}\n', b'{"say": "Ye\\ud800s "}']
)
def test_odd_bytes_around_a_good_answer(body: bytes) -> None:
    assert read_answer(body)[0].say == "Yes"


INVALID = {
    "empty": (b"", "the answer is empty"),
    "html": (b"<html><body>It works!</body></html>", "the answer is not JSON"),
    "half": (b'{"say": "Hel', "the answer is not JSON"),
    "not utf-8": (b'{"say": "\xff\xfe"}', "the answer is not JSON"),
    "deep": (b"[" * 60_000, "the answer is not JSON"),
    "long number": (b'{"say": "Hi", "n": ' + b"9" * 5000 + b"}", "the answer is not JSON"),
    "list": (b'[{"say": "Hi"}]', "the answer is not a JSON object"),
    "string": (b'"Hi"', "the answer is not a JSON object"),
    "no say": (b'{"text": "Hi"}', "say is missing"),
    "null say": (b'{"say": null}', "say is not a string"),
    "say of another type": (b'{"say": ["Hi"]}', "say is not a string"),
    "empty say": (b'{"say": ""}', "say has no words"),
    "blank say": (b'{"say": " \\n "}', "say has no words"),
    "emoji": ('{"say": "😀…"}'.encode(), "say has no words"),
    "long say": (b'{"say": "' + b"a" * 5001 + b'"}', "say is longer than 5000 characters"),
}


@pytest.mark.parametrize(("body", "detail"), INVALID.values(), ids=INVALID.keys())
def test_answers_that_cannot_be_used(body: bytes, detail: str) -> None:
    with pytest.raises(InvalidAnswer) as e:
        read_answer(body)
    assert str(e.value) == detail
