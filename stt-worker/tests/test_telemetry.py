"""Nothing that runs on this machine reports to anybody else."""

import os
import subprocess
import sys
from pathlib import Path

SERVICE = """
from callbot.runtime.service import run
from callbot.stt_worker.app import judge_for
from callbot.stt_worker.settings import Settings

async def serve(settings):
    judge_for(settings)
    print("heard")

run(serve, Settings, "stt-worker")
"""


def test_onnxruntime_gives_this_machine_no_id(tmp_path: Path) -> None:
    """It keeps one under `.cache/Microsoft` where it reports."""
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", SERVICE], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "heard\n"
    assert list(tmp_path.iterdir()) == []
