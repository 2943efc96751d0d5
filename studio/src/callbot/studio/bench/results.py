"""Rows of a measurement on disk, so that a long one can be broken off and gone on with."""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from os import cpu_count, getloadavg
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


class OtherSettings(Exception):
    """The file holds a measurement made with other settings."""


class Results:
    """One JSON object a line; the first holds the settings."""

    def __init__(self, path: Path, settings: Row, *, resume: bool) -> None:
        """Raises OtherSettings, OSError."""
        self._path = path
        self.rows: list[Row] = []
        if resume and path.exists():
            first, *rest = [json.loads(line) for line in path.read_text().splitlines()]
            if first != settings:
                raise OtherSettings(f"{path} was measured with {first}, not with {settings}")
            self.rows = rest
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings) + "\n")

    def add(self, rows: Iterable[Row]) -> None:
        new = list(rows)
        self.rows += new
        with self._path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in new)


def machine() -> str:
    """What a figure has to be read with."""
    busy = " ".join(f"{load:.1f}" for load in getloadavg())
    return f"{cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {busy}"


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank. Raises IndexError for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
