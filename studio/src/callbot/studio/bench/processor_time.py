"""Processor time of other processes, from proc(5)."""

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def seconds_in(stat: str) -> float:
    """User and system time: fields 14 and 15 of `/proc/…/stat`. The name, field 2, may have spaces."""
    fields = stat.rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def used_s(pid: int) -> float:
    """Since the process began, all its threads. Raises OSError: there is no such process."""
    return seconds_in(Path(f"/proc/{pid}/stat").read_text())


def main_thread_s(pid: int) -> float:
    """Of the thread that the event loop runs in. Raises OSError."""
    return seconds_in(Path(f"/proc/{pid}/task/{pid}/stat").read_text())
