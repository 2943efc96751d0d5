"""The subject table, and the documents made from it."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from callbot.schemas.asyncapi import document, stale, write
from callbot.schemas.flow import BEGIN, END, diagram, with_diagram
from callbot.schemas.subjects import CALL_EVENT, CALLER_AUDIO, SERVICES, SUBJECTS, Subject

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("value", ["", "a.b", "*", ">", "a b", "a\n", "\n", "ä", "x" * 65, "a*", "\x00"])
def test_what_may_not_be_part_of_a_subject_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a subject"):
        CALLER_AUDIO.of(call_id=value)


def test_a_subject_has_its_ids_and_a_wildcard() -> None:
    call_id = "CA" + "0" * 32
    assert CALLER_AUDIO.of(call_id=call_id) == f"call.{call_id}.audio.in"
    assert CALLER_AUDIO.wildcard == "call.*.audio.in"


@pytest.mark.parametrize("ids", [{}, {"bot_id": "x"}])
def test_a_missing_id_is_an_error(ids: dict[str, str]) -> None:
    with pytest.raises((KeyError, ValueError)):
        CALLER_AUDIO.of(**ids)


def test_no_two_rows_share_a_name_or_a_subject() -> None:
    assert len({row.name for row in SUBJECTS}) == len({row.wildcard for row in SUBJECTS}) == len(SUBJECTS)


@pytest.mark.parametrize("row", SUBJECTS, ids=lambda row: row.name)
def test_nobody_speaks_to_nobody_or_to_itself(row: Subject) -> None:
    assert row.speakers and row.listeners
    # What a call has become, other gateways show to those who watch it.
    assert not row.speakers & row.listeners or row is CALL_EVENT


def test_the_generated_documents_are_fresh() -> None:
    assert stale(REPOSITORY) == [], "run `python -m callbot.schemas.asyncapi`"


def test_a_stale_document_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs")
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\n{END}\n\nThe rest.\n")
    assert stale(tmp_path) == [readme]
    write(tmp_path)
    assert stale(tmp_path) == []
    assert readme.read_text() == f"# Title\n\n{BEGIN}\n{diagram()}{END}\n\nThe rest.\n"
    document_path = tmp_path / "docs" / "asyncapi" / "gateway.yaml"
    document_path.write_text(document_path.read_text().replace("turn.opened", "turn.open"))
    assert stale(tmp_path) == [document_path]


def test_a_text_without_markers_stays_as_it_is() -> None:
    assert with_diagram("# Title\n") == "# Title\n"


@pytest.mark.parametrize("service", SERVICES)
def test_every_reference_in_a_document_leads_somewhere(service: str) -> None:
    whole = document(service)
    for reference in re.findall(r"\$ref: '?#/([^'\s]+)", yaml.safe_dump(whole)):
        place = whole
        for part in reference.split("/"):
            place = place[part]
    own = [row for row in SUBJECTS if service in row.speakers | row.listeners]
    assert {row.name for row in own} <= set(whole["channels"])
