"""`subset.py SERVICE` prints what that image gets of requirements.lock, with its hashes.

`subset.py SERVICE EXTRA,EXTRA` prints what these extras add. Both files are beside this one: it runs while an
image is built, with Python's own library alone.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    service, extras = sys.argv[1], sys.argv[2:]
    known = json.loads((HERE / "packages.json").read_text())
    if service not in known:
        sys.exit(f"no such service: {service}; there are {', '.join(known)}")
    wanted = [name for text in extras for name in text.split(",") if name] if extras else [""]
    if unknown := set(wanted) - set(known[service]):
        sys.exit(f"{service} has no extra {', '.join(sorted(unknown))}")
    names = {name for extra in wanted for name in known[service][extra]}
    print("".join(cut((HERE / "requirements.lock").read_text(), names)), end="")


def cut(lock: str, names: set[str]) -> Iterator[str]:
    """The lines of these packages. Raises SystemExit if one is not there."""
    found = set()
    keep = False
    for line in lock.splitlines(keepends=True):
        if not line.startswith(" "):
            name = line.partition("==")[0]
            keep = name in names
            found |= {name} & names
        if keep:
            yield line
    if missing := names - found:
        sys.exit(f"requirements.lock does not hold {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
