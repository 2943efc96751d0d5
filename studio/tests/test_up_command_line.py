"""The command line of `callbot`."""

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from callbot.studio.cli import app, said_and_pressed


def test_the_order_of_saying_and_pressing_is_kept() -> None:
    given = ["--to", "--say", "--say", "a", "--dtmf=1#", "--record", "--dtmf", "--say", "b=c", "--json"]
    assert said_and_pressed(given) == [("say", "a"), ("dtmf", "1#"), ("say", "b=c")]


def test_ps_where_nothing_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["ps", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "no callbot up runs with the data directory" in result.stderr


def test_help_loads_nothing_heavy() -> None:
    look = "import sys, callbot.studio.cli; print({'aiohttp', 'numpy', 'pydantic'} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=30
    )
    assert shown.stdout.strip() == "set()"
