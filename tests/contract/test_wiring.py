"""The table cannot lie: every service uses exactly the subjects on whose arrows it stands."""

import ast
from pathlib import Path

import pytest

from callbot.schemas import subjects
from callbot.schemas.memory import STREAMS
from callbot.schemas.subjects import SERVICES, SUBJECTS, Subject

ROOT = Path(__file__).parents[2]
ROWS = {name: row for name, row in vars(subjects).items() if isinstance(row, Subject)}
WORKERS = {"stt-worker", "dialog-worker", "tts-worker"}


def rows_used(folder: Path) -> set[str]:
    """The rows that this code takes from the table, by name or as `subjects.…`; `OFFERS` holds three."""
    used: set[str] = set()
    for path in folder.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        taken = [(n.module, a) for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names]
        used |= {a.name for module, a in taken if module == "callbot.schemas.subjects"}
        tables = {a.asname or a.name for m, a in taken if m == "callbot.schemas" and a.name == "subjects"}
        used |= {
            n.attr
            for n in nodes
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in tables
        }
    if "OFFERS" in used:
        used |= {name for name, row in ROWS.items() if row in subjects.OFFERS.values()}
    return used & set(ROWS)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_uses_the_subjects_of_its_arrows_and_no_others(service: str) -> None:
    used = rows_used(ROOT / service / "src")
    if service in WORKERS:
        used |= rows_used(ROOT / "runtime" / "src")
    on_arrow = {name for name, row in ROWS.items() if service in row.speakers | row.listeners}
    if service == "call-router":
        # It pulls the stream that holds them instead of listening.
        used |= {n for n in on_arrow if ROWS[n] in {s.subject for s in STREAMS}}
    assert used == on_arrow


def test_every_row_is_in_the_table_once() -> None:
    assert len({row.template for row in SUBJECTS}) == len(SUBJECTS) == len(ROWS)
    assert all(row.name.upper() == name for name, row in ROWS.items())


def test_every_row_has_somebody_at_both_ends() -> None:
    assert all(row.speakers and row.listeners for row in SUBJECTS)
