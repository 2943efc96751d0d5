"""Keeping processes: with small children in the place of services."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from callbot.studio.up.keeper import Keeper
from callbot.studio.up.lines import Lines
from callbot.studio.up.parts import Part
from callbot.studio.up.ports import FreePorts
from callbot.studio.up.problems import CannotStart
from callbot.studio.up.supervisor import Supervisor
from callbot.studio.up.undertaker import Undertaker

_LISTENS = """
import socket, subprocess, sys, time
grandchild = subprocess.Popen(["sleep", "300"])
print("grandchild", grandchild.pid, flush=True)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as s:
    while True: s.accept()[0].close()
"""


@pytest.fixture
def undertaker(tmp_path: Path) -> Iterator[Undertaker]:
    with (tmp_path / "lock").open("wb") as lock:
        undertaker = Undertaker(lock.fileno())
        yield undertaker
        undertaker.close()


def part(script: str, *arguments: str, port: int = 1) -> Part:
    argv = (sys.executable, "-c", script, *arguments)
    return Part("stand-in", 1, argv, port, env=dict(os.environ), ready_path=None)


def keeper(kept: Part, undertaker: Undertaker, said: io.StringIO) -> Keeper:
    return Keeper(kept, lines=Lines(said, colours=False), undertaker=undertaker, changed=lambda: None)


@pytest.fixture
async def listening(undertaker: Undertaker) -> AsyncIterator[tuple[Keeper, io.StringIO]]:
    port = FreePorts().take()
    said = io.StringIO()
    kept = keeper(part(_LISTENS, str(port), port=port), undertaker, said)
    kept.start([])
    async with asyncio.timeout(10):
        await kept.ready.wait()
    yield kept, said
    await kept.end(within_s=5)


async def until(holds: Callable[[], bool]) -> None:
    """Under the caller's deadline."""
    while not holds():
        await asyncio.sleep(0.02)


def grandchild_of(said: io.StringIO) -> int:
    return int(said.getvalue().rpartition("grandchild ")[2].split()[0])


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_part_is_ended_with_its_grandchildren(listening: tuple[Keeper, io.StringIO]) -> None:
    kept, said = listening
    grandchild = grandchild_of(said)
    assert lives(grandchild)
    await kept.end(within_s=5)
    assert kept.pid is None
    # Killed, but for a moment still in the process table.
    await until(lambda: not lives(grandchild))


async def test_a_killed_part_comes_again_without_its_old_grandchildren(
    listening: tuple[Keeper, io.StringIO],
) -> None:
    kept, said = listening
    old, grandchild = kept.pid, grandchild_of(said)
    assert old is not None
    os.kill(old, 9)
    async with asyncio.timeout(10):
        await until(lambda: kept.pid not in (None, old))
        await kept.ready.wait()
    # Killed, but for a moment still in the process table.
    await until(lambda: not lives(grandchild))
    assert "stand-in ended (signal 9); starting it again in 0.1 s" in said.getvalue()
    assert "stand-in is ready again" in said.getvalue()


async def test_a_part_that_ends_before_it_was_ready_cannot_start(undertaker: Undertaker) -> None:
    kept = keeper(part("raise SystemExit('the key is missing')"), undertaker, io.StringIO())
    with pytest.raises(CannotStart, match=r"stand-in could not start \(exit code 1\): the key is missing"):
        await asyncio.wait_for(kept.start([]), 10)


async def test_a_part_that_ignores_sigterm_is_killed(undertaker: Undertaker) -> None:
    said = io.StringIO()
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
    )
    kept = keeper(part(deaf), undertaker, said)
    kept.start([])
    async with asyncio.timeout(10):
        await until(lambda: "deaf" in said.getvalue())
        pid = kept.pid
        await kept.end(within_s=0.1)
    assert pid is not None
    assert not lives(pid)


async def test_what_needs_a_part_waits_until_it_is_ready(undertaker: Undertaker) -> None:
    said = io.StringIO()
    first = Part("first", 1, (sys.executable, "-c", "import time; time.sleep(300)"), 1, ready_path=None)
    second = Part("second", 1, (sys.executable, "-c", "print('too early')"), 1, needs=frozenset({"first"}))
    supervisor = Supervisor(
        [first, second], lines=Lines(said, colours=False), undertaker=undertaker, changed=lambda _: None
    )
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop, lambda: None))
    async with asyncio.timeout(10):
        await until(lambda: supervisor.keepers[0].pid is not None)
        assert supervisor.keepers[1].pid is None
        stop.set()
        await running
    assert said.getvalue() == ""


def test_the_undertaker_kills_what_is_left_when_it_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("wb") as lock:
        undertaker = Undertaker(lock.fileno())
        left = subprocess.Popen(["sleep", "300"], start_new_session=True)
        spared = subprocess.Popen(["sleep", "300"], start_new_session=True)
        for group in (left.pid, spared.pid):
            undertaker.watch(group)
        undertaker.forget(spared.pid)
        undertaker.close()
    assert left.wait(timeout=5) == -9
    assert spared.poll() is None
    spared.kill()
    spared.wait(timeout=5)


def test_log_lines_become_readable() -> None:
    out = io.StringIO()
    lines = Lines(out, colours=False)
    lines.show(
        "tts-worker-1", '{"at":"2026-01-02T03:04:05.678Z","level":"info","service":"x","message":"hi","n":1}'
    )
    lines.show("nats", "[1] 2026/01/02 03:04:05.678901 [INF] Starting")
    lines.show("nats", "[1] 2026/01/02 03:04:05.678901 [WRN] slow")
    lines.show("mongo", "plain {")
    assert out.getvalue() == (
        "tts-worker-1    │ 03:04:05.678 hi n=1\n"
        "nats            │ 03:04:05.678 warning slow\n"
        "mongo           │ plain {\n"
    )


def test_ports_are_distinct() -> None:
    ports = FreePorts()
    assert len({ports.take() for _ in range(50)}) == 50


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names for it")
def test_a_port_is_given_to_one_platform_only_though_nobody_listens_yet() -> None:
    taken = FreePorts().take()
    others = FreePorts()
    others._left = iter([taken])
    with pytest.raises(CannotStart):
        others.take()
