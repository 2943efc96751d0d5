"""The lines that nobody may cross unnoticed: imports, sizes, where the environment is read."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from callbot.schemas.subjects import SUBJECTS

ROOT = Path(__file__).parents[1]
SERVICES = {"gateway", "call_router", "stt_worker", "dialog_worker", "tts_worker"}
MEMBERS = {"schemas", "runtime", "studio", *SERVICES}
MAY_IMPORT = {
    "schemas": {"schemas"},
    "runtime": {"schemas", "runtime"},
    "studio": {"schemas", "runtime", "studio"},
    **{s: {"schemas", "runtime", s} for s in SERVICES},
}
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
ONLY_UNDER_PROVIDERS = {"openai", "faster_whisper", "ctranslate2", "piper", "onnxruntime", "google", "grpc"}
SHARED_BY_PROVIDERS = ROOT / "runtime/src/callbot/runtime/google_access.py"
"""Of two members' providers; those import it when they are opened."""
SUBJECT_BEGINNINGS = tuple(
    f"{beginning}." for beginning in {row.template.partition(".")[0] for row in SUBJECTS}
)
DISTRIBUTION_OF = {
    "jwt": "pyjwt",
    "argon2": "argon2-cffi",
    "nats": "nats-py",
    "piper": "piper-tts",
    "yaml": "pyyaml",
}


def folder(member: str) -> Path:
    return ROOT / member.replace("_", "-") / "src" / "callbot" / member


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def sources(member: str) -> Iterator[Path]:
    yield from sorted(folder(member).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def all_python() -> list[Path]:
    folders = [ROOT / m.replace("_", "-") for m in MEMBERS] + [ROOT / "tests", ROOT / "examples"]
    return [p for f in folders for p in sorted(f.rglob("*.py")) if ".venv" not in p.parts]


@pytest.mark.parametrize("member", sorted(MEMBERS))
def test_imports_follow_the_arrows(member: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(member)
        for name in imports(path)
        if name.startswith("callbot.") and name.split(".")[1] not in MAY_IMPORT[member]
    ]
    assert wrong == []


@pytest.mark.parametrize("member", sorted(MEMBERS))
def test_what_is_imported_is_declared(member: str) -> None:
    project = tomllib.loads((ROOT / member.replace("_", "-") / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    declared = {
        d.split(";")[0].split("[")[0].split("=")[0].split(">")[0].split("<")[0].split("~")[0].strip()
        for d in [*project["dependencies"], *(d for extra in extras for d in extra)]
    }
    declared = {d.replace("-", "_") for d in declared}
    # What a declared package brings along and re-exports as its own vocabulary.
    declared |= {"multidict", "yarl"} if "aiohttp" in declared else set()
    declared |= {"bson"} if "pymongo" in declared else set()
    declared |= {"opentelemetry"} if any(d.startswith("opentelemetry_") for d in declared) else set()
    declared |= {"google", "grpc"} if any(d.startswith("google_cloud_") for d in declared) else set()
    declared |= {"google"} if "google_auth" in declared else set()
    if {"callbot_runtime"} & declared:
        declared |= {"pydantic", "pydantic_settings", "nats_py"}
    missing = {
        name.split(".")[0]
        for path in sources(member)
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("callbot")
    }
    missing = {DISTRIBUTION_OF.get(m, m).replace("-", "_") for m in missing} - declared
    assert missing == set()


def test_the_namespace_has_no_init() -> None:
    assert [p for m in MEMBERS if (p := folder(m).parent / "__init__.py").exists()] == []


def test_motor_is_in_one_file() -> None:
    users = {
        str(p.relative_to(ROOT))
        for m in MEMBERS
        for p in sources(m)
        if any(n.split(".")[0] in ("motor", "pymongo", "bson", "gridfs") for n in imports(p))
    }
    assert users == {"call-router/src/callbot/call_router/mongo.py"}


def test_models_and_vendors_are_imported_by_providers_only() -> None:
    wrong = [
        f"{p.relative_to(ROOT)} imports {n}"
        for m in {"runtime", *SERVICES}
        for p in sources(m)
        if "providers" not in p.parts and p != SHARED_BY_PROVIDERS
        for n in imports(p)
        if n.split(".")[0] in ONLY_UNDER_PROVIDERS
    ]
    assert wrong == []


def test_only_settings_read_the_environment() -> None:
    """The studio starts processes and hands an environment on; services have their Settings."""
    wrong = [
        str(p.relative_to(ROOT))
        for m in MEMBERS - {"studio"}
        for p in sources(m)
        for node in ast.walk(tree(p))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    assert wrong == []


def test_files_and_functions_stay_small() -> None:
    wrong = []
    for path in all_python():
        lines = path.read_text().count("\n")
        if lines > MAX_FILE_LINES:
            wrong.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines")
    assert wrong == []


def test_nothing_is_swallowed() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in all_python()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and all(isinstance(b, ast.Pass) for b in node.body)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]
    assert wrong == []


def test_subjects_stand_in_one_file() -> None:
    """Nobody spells a subject: not `call.`, not `seats.`, not `workers.` and what follows."""
    wrong = [
        f"{p.relative_to(ROOT)}:{node.lineno} {node.value!r}"
        for m in MEMBERS - {"schemas"}
        for p in sources(m)
        for node in ast.walk(tree(p))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(SUBJECT_BEGINNINGS)
    ]
    assert wrong == []
