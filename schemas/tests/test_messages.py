"""JSON messages: stored samples of each still parse, round-trip, and bear fields of the future."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from callbot.schemas.bots import BotPatch, UpdateBot
from callbot.schemas.calls import CallJournal
from callbot.schemas.dialog import SaySentence
from callbot.schemas.message import Message, Refusal
from callbot.schemas.subjects import SUBJECTS, Question
from callbot.schemas.users import Credential
from callbot.schemas.voices import WorkerVoices
from callbot.schemas.webhook import WebhookAnswer, WebhookRequest

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))
TYPES: dict[str, type[Any]] = {
    t.__name__: t
    for row in SUBJECTS
    for t in (row.message, row.answer if isinstance(row, Question) else Refusal)
    if issubclass(t, BaseModel)
} | {t.__name__: t for t in (CallJournal, WorkerVoices, WebhookAnswer, WebhookRequest)}


def type_of(sample: Path) -> type[Message]:
    return TYPES[sample.name.partition(".")[0]]


def test_every_message_has_a_stored_sample() -> None:
    assert {sample.name.partition(".")[0] for sample in SAMPLES} == set(TYPES)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.stem)
def test_a_stored_sample_is_read_whole_and_written_the_same(sample: Path) -> None:
    message = type_of(sample).decode(sample.read_bytes())
    assert type_of(sample).decode(message.encode()) == message
    assert holds(json.loads(message.encode()), json.loads(sample.read_bytes()))


def holds(written: Any, stored: Any) -> bool:
    """Is everything stored still written, however deep? Fields that came later may be added."""
    if isinstance(stored, dict):
        return all(key in written and holds(written[key], value) for key, value in stored.items())
    if isinstance(stored, list):
        return len(written) == len(stored) and all(map(holds, written, stored))
    return bool(written == stored)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.stem)
def test_a_field_of_the_future_is_ignored(sample: Path) -> None:
    known = type_of(sample).decode(sample.read_bytes())
    later = {**json.loads(sample.read_bytes()), "of_the_future": {"x": [1]}}
    assert type_of(sample).decode(json.dumps(later).encode()) == known


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"epoch": "x"}'])
def test_what_is_no_message_is_a_validation_error(data: bytes) -> None:
    with pytest.raises(ValidationError):
        SaySentence.decode(data)


@given(text=st.text())
def test_any_text_survives(text: str) -> None:
    message = SaySentence(epoch=1, turn=2, sentence=3, text=text)
    assert SaySentence.decode(message.encode()) == message


def test_a_patch_travels_with_only_what_changes() -> None:
    asked = UpdateBot(credential=Credential(), bot_id="b", changes=BotPatch(goal="New", transfer_to=None))
    heard = UpdateBot.decode(asked.encode())
    assert heard.changes.changes() == {"goal": "New", "transfer_to": None}


@pytest.mark.parametrize(
    "call_id",
    ["", "CA1", "CA" + "0" * 31, "CA" + "0" * 33, "CA" + "A" * 32, "ca" + "0" * 32, "CA" + "0" * 32 + "\n"],
)
def test_what_is_no_call_id_is_refused(call_id: str) -> None:
    with pytest.raises(ValidationError):
        TYPES["CallOver"](call_id=call_id)


@pytest.mark.parametrize("bot_id", ["", "a.b", "*", ">", "a b", "a\n", "x" * 65, "ä"])
def test_what_is_no_bot_id_is_refused(bot_id: str) -> None:
    with pytest.raises(ValidationError):
        TYPES["BotRef"](credential=Credential(), bot_id=bot_id)
